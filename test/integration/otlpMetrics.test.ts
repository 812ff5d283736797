import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A service sends its metrics to a collector, also while it has no bus. Needs `npm run build`. */

let receiver: Server;
let child: ChildProcess | undefined;

afterEach(async () => {
  if (child && child.exitCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

test('the samples of /metrics go to the collector by OTLP', async () => {
  const sent = new Promise<string>((resolve) => {
    receiver = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      response.end();
      resolve(Buffer.concat(parts).toString('latin1'));
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  child = spawn(process.execPath, ['dist/services/health/main.js'], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      NEMURI_NATS_URL: 'nats://127.0.0.1:1',
      NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `http://127.0.0.1:${port}/v1/metrics`,
      OTEL_METRIC_EXPORT_INTERVAL: '200',
    },
  });
  const body = await sent;
  // Strings are written as they are in Protocol Buffers.
  for (const text of ['nemuri-health', 'nemuri.bus.connected', 'process.memory.usage', 'cpu_mode'])
    expect(body).toContain(text);
});
