import { createServer } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { OriginMessage, OriginSettings } from './originProcess.ts';
import { createWorkload } from './workload.ts';

/**
 * The process of one origin, started by the rack with its settings as JSON in the first argument. It is deaf until
 * the rack sends `listen`, and ends with the rack: an origin without its machine must not go on.
 */
const reportIntervalMs = 100;
const settings = JSON.parse(process.argv[2] ?? '{}') as OriginSettings;
const workload = createWorkload(settings, () => performance.now());
const server = createServer({ keepAliveTimeout: 75_000 }, workload.handle);
server.requestTimeout = 0;

const tell = (message: OriginMessage) => {
  if (process.connected) process.send?.(message);
};

let wasIdle = false;
const reporting = setInterval(() => {
  const load = workload.report();
  const isIdle = load.utilization === 0 && load.busySlots === 0;
  if (!isIdle || !wasIdle) tell({ kind: 'load', load });
  wasIdle = isIdle;
}, reportIntervalMs);

server.on('error', (error) => {
  tell({ kind: 'failed', error: error.message });
  process.exitCode = 1;
  setImmediate(() => process.exit());
});
server.on('request', (_request, response) => {
  response.once('close', () => {
    if (!server.listening) setImmediate(() => server.closeIdleConnections());
  });
});

process.on('message', () => {
  if (!server.listening)
    server.listen(settings.port, settings.host, 4_096, () => tell({ kind: 'listening' }));
});
process.on('disconnect', () => process.exit());
// Ctrl-C goes to the whole process group; only its machine may stop an origin.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => {
  const { busySlots, queued } = workload.report();
  tell({ kind: 'stopping', inFlight: busySlots + queued });
  workload.beginShutdown();
  if (!server.listening) process.exit();
  server.close(() => {
    clearInterval(reporting);
    process.exit();
  });
});
