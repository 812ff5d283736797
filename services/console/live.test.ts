import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { scriptedFleet } from '../../libs/domain/testing/builders.ts';
import { type Live, startLive } from './live.ts';
import { createModel, type Frame, type Model } from './model.ts';

let server: Server;
let live: Live;
let dropped: () => void;
const padding = 'x'.repeat(2_000_000);

/** A model whose every frame is large, so that a page that reads nothing is soon behind. */
function heavyModel(): Model {
  const model = createModel();
  const heavy = (frame: Frame): Frame => ({ ...frame, gone: [padding] });
  return { ...model, changes: (fleet, nowMs) => heavy(model.changes(fleet, nowMs)) };
}

afterEach(() => {
  live.stop();
  server.closeAllConnections();
  server.close();
});

test('a page that reads nothing is dropped, and the others go on', async () => {
  const { fleet } = scriptedFleet();
  const gone = new Promise<void>((resolve) => {
    dropped = resolve;
  });
  live = startLive({ model: heavyModel(), fleet: () => fleet, nowMs: Date.now, onDropped: () => dropped() });
  server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    live.join(response, undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [slow] = (await once(get(url), 'response')) as [IncomingMessage];
  slow.pause();
  slow.on('error', () => {});
  const [quick] = (await once(get(url), 'response')) as [IncomingMessage];
  let bytes = 0;
  quick.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await gone;
  expect(live.viewers).toBe(1);
  const before = bytes;
  while (bytes < before + padding.length) await once(quick, 'data');
  quick.destroy();
}, 30_000);
