import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectJetStreamBus } from '../../libs/bus/mod.ts';
import { type EventOf, subjectFilters } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { ensureNatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { readFlags } from '../commandLine.ts';

const help = `The first part of npm run bench:health: one health service probes many servers on a real bus. What does it cost, and is
any probe late? The last line on stdout is the report as one JSON object.

  --servers N      (default 2000)
  --seconds N      that are measured (default 20)
  --interval-ms N  from one probe of a server to its next (default 2000)
`;

const values = readFlags(help, {
  servers: { type: 'string', default: '2000' },
  seconds: { type: 'string', default: '20' },
  'interval-ms': { type: 'string', default: '2000' },
});
const servers = Number(values.servers);
const seconds = Number(values.seconds);
const intervalMs = Number(values['interval-ms']);
const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Linux: clock ticks of user and system time; there are 100 in a second. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Every address of 127.0.0.0/8 is this machine: so many servers behind one socket. */
function addressOf(index: number): string {
  return `127.${1 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${(index % 250) + 1}`;
}

function configText(port: number): string {
  const entries = Array.from({ length: servers }, (_, index) => {
    const url = `http://${addressOf(index)}:${port}`;
    return `  s${index + 1}: { pool: web, url: "${url}", capacityRps: 100 }`;
  });
  return `version: 1
pools: { web: { healthCheck: { intervalMs: ${intervalMs} } } }
servers:
${entries.join('\n')}
`;
}

const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
const origin = createServer((_request, response) => response.end('ok'));
origin.listen(0, '0.0.0.0', 8_192);
await new Promise((done) => origin.once('listening', done));
const address = origin.address();
const port = typeof address === 'object' && address ? address.port : 0;
const binary = await ensureNatsServer({ log: say });
const nats = await startNatsServer({ binary, storeDir: folder });
const bus = await connectJetStreamBus({ servers: nats.url, source: '/nemuri/bench', name: 'bench' });
const config = parseConfig(configText(port), { file: 'bench.yaml' });
if (!config.ok) throw new Error('the configuration of the benchmark is not valid');
await bus.publish({ type: 'FleetConfigured', data: { config: config.config, origin: 'bench' } });
const health = fork(resolve(import.meta.dirname, '../../services/health/main.js'), {
  env: {
    ...process.env,
    NEMURI_NATS_URL: nats.url,
    NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
    NEMURI_LOG_LEVEL: 'warn',
  },
  stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
});
try {
  const healthy = new Set<string>();
  const samples: EventOf<'ProbesSampled'>['data'][] = [];
  await bus.subscribe({
    stream: 'FLEET',
    startAt: 'beginning',
    onEvent: (event) => {
      if (event.type === 'ServerBecameHealthy') healthy.add(event.data.server);
    },
  });
  await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.probe,
    startAt: 'new',
    onEvent: (event) => {
      if (event.type === 'ProbesSampled') samples.push(event.data);
    },
  });
  const patience = Date.now() + 90_000;
  while (healthy.size < servers && Date.now() < patience) await pause(100);
  say(`${healthy.size} of ${servers} servers healthy; measuring for ${seconds} s`);
  // The first rounds are faster: servers on their way in.
  await pause(intervalMs * 2);
  samples.length = 0;
  const [cpuBefore, startedMs] = [cpuSeconds(health.pid ?? 0), performance.now()];
  await pause(seconds * 1_000);
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const cpuShare = (cpuSeconds(health.pid ?? 0) - cpuBefore) / elapsedSeconds;
  const sent = samples.reduce((sum, sample) => sum + sample.sent, 0);
  const lateMaxMs = Math.max(...samples.map(({ lateMs }) => lateMs?.max ?? 0));
  const report = {
    benchmark: 'health: probes',
    node: process.version,
    cores: availableParallelism(),
    load1: loadavg()[0],
    servers,
    intervalMs,
    seconds: Math.round(elapsedSeconds),
    probesPerSecond: Math.round(sent / elapsedSeconds),
    failed: samples.reduce((sum, sample) => sum + sample.failed, 0),
    cpuShareOfOneCore: Number(cpuShare.toFixed(3)),
    lateMs: {
      p99OfWorstSecond: Math.max(...samples.map(({ lateMs }) => lateMs?.p99 ?? 0)),
      max: lateMaxMs,
    },
    lateShareOfInterval: Number((lateMaxMs / intervalMs).toFixed(4)),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
} finally {
  await endProcess(health, 5_000);
  await bus.close();
  await nats.stop();
  origin.closeAllConnections();
  origin.close();
  await rm(folder, { recursive: true, force: true });
}
