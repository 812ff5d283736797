import { connect, type Socket } from 'node:net';
import { type SoakSite, startSoakSite } from '../../lab/soak/site.ts';

/** More clients than a real proxy takes, master and workers as processes. */
let site: SoakSite;
let sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await site.stop();
});

/** Asks on a new connection, which stays open. @returns the answer's status line; how the connection ended without one. */
function ask(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(site.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('data', (chunk) => resolve(chunk.toString('latin1').slice(0, 12)));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve('closed'));
    socket.write('GET /bytes?seed=1&bytes=10 HTTP/1.1\r\nHost: a\r\n\r\n');
  });
}

test('connections above maxConnections are closed at once and counted, by every worker; the others are served', async () => {
  site = await startSoakSite({ servers: 1, workers: 2, proxy: { maxConnections: 20 } });
  const told = await Promise.all(Array.from({ length: 100 }, ask));
  const served = told.filter((line) => line === 'HTTP/1.1 200').length;
  expect(served).toBeGreaterThanOrEqual(20);
  expect(served).toBeLessThanOrEqual(40);
  expect(told.filter((line) => line === 'closed')).toHaveLength(100 - served);
  for (const socket of sockets) socket.destroy();
  // The workers learn of it in their time.
  while ((await ask()) === 'closed');
}, 60_000);
