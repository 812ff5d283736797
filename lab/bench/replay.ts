import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectJetStreamBus } from '../../libs/bus/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { openHistory } from '../../libs/runtime/history.ts';
import { ensureNatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { serviceNames } from '../../libs/runtime/stack.ts';
import { type SupervisedProcess, supervise } from '../../libs/runtime/supervisor.ts';
import { readFlags } from '../commandLine.ts';
import { fillFleet, fillLoad, fillMeters, replayConfig } from './replayFill.ts';

const help = `npm run bench:replay -- [options]

A long history on a real nats-server: how soon is each real service ready again, stopped or killed, and with no
snapshot at all? How soon does a look at the past answer? Takes five minutes, most of them to write the history. The
last line on stdout is the report as one JSON object.

  --events N      in the history (default 1000000)
  --servers N     (default 200)
  --days N        that the history covers (default 30)
  --load-hours N  of load samples (default 24)
  --looks N       at the past (default 20)
  --cold          start every service without a snapshot too, not the planner alone
`;

const values = readFlags(help, {
  events: { type: 'string', default: '1000000' },
  servers: { type: 'string', default: '200' },
  days: { type: 'string', default: '30' },
  'load-hours': { type: 'string', default: '24' },
  looks: { type: 'string', default: '20' },
  cold: { type: 'boolean', default: false },
});
const events = Number(values.events);
const servers = Number(values.servers);
const days = Number(values.days);
const loadHours = Number(values['load-hours']);
const looks = Number(values.looks);
const hourMs = 3_600_000;
const limitMs = 2_000;
const patienceMs = 300_000;
const say = (line: string) => void process.stderr.write(`${line}\n`);
const round = (ms: number) => Math.round(ms);

const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
const binary = await ensureNatsServer({ log: say });
const nats = await startNatsServer({ binary, storeDir: folder });
const bus = await connectJetStreamBus({ servers: nats.url, source: '/nemuri/bench', name: 'bench' });
const running: SupervisedProcess[] = [];

/** Starts one service and resolves to the ms from the start of its process until `/readyz` says yes. */
async function startToReady(service: string): Promise<{ process: SupervisedProcess; readyMs: number }> {
  const adminPort = await freePort('127.0.0.1');
  const startedMs = performance.now();
  const started = supervise({
    name: service,
    script: resolve(import.meta.dirname, `../../services/${service}/main.js`),
    env: {
      NEMURI_NATS_URL: nats.url,
      NEMURI_NAME: service,
      NEMURI_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
      NEMURI_LOG_LEVEL: 'warn',
      ...(service === 'proxy' ? { NEMURI_LISTEN: '127.0.0.1:0' } : {}),
    },
  });
  running.push(started);
  while (!(await isReady(adminPort))) {
    if (performance.now() - startedMs > patienceMs) throw new Error(`${service} is not ready in time`);
    await pause(10);
  }
  return { process: started, readyMs: performance.now() - startedMs };
}

async function isReady(adminPort: number): Promise<boolean> {
  try {
    const { ok } = await fetch(`http://127.0.0.1:${adminPort}/readyz`, {
      signal: AbortSignal.timeout(2_000),
    });
    return ok;
  } catch {
    return false;
  }
}

async function kill(process: SupervisedProcess): Promise<void> {
  const stopped = process.stop(0);
  process.kill('SIGKILL');
  await stopped;
}

/** Snapshots of all services are folds of the same history: what the planner saved serves the others as well. */
async function giveSnapshot(service: string): Promise<void> {
  const snapshot = await bus.loadSnapshot('planner');
  if (!snapshot) throw new Error('the planner has saved no snapshot');
  await bus.saveSnapshot(service === 'proxy' ? 'proxy-0' : service, snapshot);
}

async function measureService(service: string, isCold: boolean) {
  if (!isCold) await giveSnapshot(service);
  const first = await startToReady(service);
  await first.process.stop(60_000);
  const afterStop = await startToReady(service);
  await kill(afterStop.process);
  const afterKill = await startToReady(service);
  await afterKill.process.stop(60_000);
  const result = {
    restartMs: round(afterStop.readyMs),
    restartAfterKillMs: round(afterKill.readyMs),
    ...(isCold ? { coldMs: round(first.readyMs) } : {}),
  };
  say(`${service}: ${JSON.stringify(result)}`);
  return result;
}

/** Looks at moments spread over all of the past, each on a history that has kept nothing yet, then on one that has. */
async function measureLooks() {
  const end = await bus.lastSequence('FLEET');
  const moments = Array.from({ length: looks }, (_, index) =>
    Math.floor((end * (((index * 7) % looks) + 0.5)) / looks),
  );
  const time = async (work: () => Promise<unknown>) => {
    const startedMs = performance.now();
    await work();
    return performance.now() - startedMs;
  };
  const firstMs: number[] = [];
  for (const sequence of moments) firstMs.push(await time(() => openHistory(bus).fleetAt({ sequence })));
  const history = openHistory(bus);
  for (const sequence of moments) await history.fleetAt({ sequence });
  const slideMs: number[] = [];
  for (const sequence of moments)
    slideMs.push(await time(() => history.fleetAt({ sequence: sequence + 500 })));
  return { looks, firstMaxMs: round(Math.max(...firstMs)), slideMaxMs: round(Math.max(...slideMs)) };
}

try {
  const config = replayConfig(servers);
  const nowMs = Date.now();
  await fillFleet(nats.url, config, { count: events, startMs: nowMs - days * 24 * hourMs, endMs: nowMs });
  // The stream's clock can't be set, so all that is stored counts as just stored. A restart reads telemetry of the
  // last hour, which is what there is at first; only the planner, which learns from a day of it, meets all of it.
  await fillLoad(nats.url, config, { startMs: nowMs - loadHours * hourMs, endMs: nowMs - hourMs });
  const planner = await measureService('planner', true);
  await bus.limit({ telemetryMaxAgeMs: 1_000 });
  while ((await bus.firstSequence('TELEMETRY')) <= (await bus.lastSequence('TELEMETRY'))) await pause(50);
  await bus.limit({ telemetryMaxAgeMs: 24 * hourMs });
  await fillLoad(nats.url, config, { startMs: nowMs - hourMs, endMs: nowMs });
  await fillMeters(nats.url, config, nowMs);
  const services: Record<string, Awaited<ReturnType<typeof measureService>>> = { planner };
  for (const service of serviceNames.filter((name) => name !== 'planner'))
    services[service] = await measureService(service, values.cold);
  const past = await measureLooks();
  const worstMs = Math.max(
    ...Object.values(services).flatMap(({ restartMs, restartAfterKillMs }) => [
      restartMs,
      restartAfterKillMs,
    ]),
    past.firstMaxMs,
  );
  const report = {
    benchmark: 'replay: restart to ready',
    node: process.version,
    cores: availableParallelism(),
    events,
    servers,
    days,
    loadHours,
    services,
    past,
    limitMs,
    worstMs,
    ok: worstMs <= limitMs,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (!report.ok) process.exitCode = 1;
} finally {
  await Promise.all(running.map((one) => kill(one)));
  await bus.close();
  await nats.stop();
  await rm(folder, { recursive: true, force: true });
}
