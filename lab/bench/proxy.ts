import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../../libs/runtime/freePort.ts';
import { cpuSecondsOf, residentKiBOf, run } from './processes.ts';
import {
  type Contestant,
  type Site,
  startApache,
  startHaproxy,
  startNemuri,
  startNginx,
  startOrigin,
} from './rivals.ts';

const help = `Nemuri beside nginx, HAProxy and Apache: same origin, same load, short runs in turn, medians.
Needs Debian's nginx, haproxy, apache2, wrk and nghttp2-client; run npm run build first.

  --seconds N      one run (default 3)
  --rounds N       runs of each contestant and body (default 3)
  --connections N  keep-alive connections (default 64)
  --bodies LIST    small (1 KiB), large (100 KiB); default both
  --only LIST      contestants: nemuri, traced (1 % sampled), nginx, haproxy, apache; default all
  --rps N          also: latency at this equal rate
`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    bodies: { type: 'string', default: 'small,large' },
    only: { type: 'string', default: 'nemuri,nginx,haproxy,apache' },
    rps: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

interface Run {
  readonly requests: number;
  readonly failed: number;
  readonly cpuMicros: number;
  readonly requestsPerSecond: number;
}

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const starters: Readonly<Record<string, (site: Site) => Promise<Contestant>>> = {
  nemuri: (site) => startNemuri(site, 'nemuri'),
  traced: (site) =>
    startNemuri(site, 'traced', { OTEL_TRACES_EXPORTER: 'otlp', NEMURI_TRACE_SAMPLE_RATIO: '0.01' }),
  nginx: startNginx,
  haproxy: startHaproxy,
  apache: startApache,
};

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** As many requests as the contestant can take. */
async function saturate(contestant: Contestant, body: string, seconds: number): Promise<Run> {
  const url = `http://127.0.0.1:${contestant.port}/${body}`;
  const pids = contestant.pids();
  const before = cpuSecondsOf(pids);
  const out = await run('wrk', ['-t1', `-c${values.connections}`, `-d${seconds}s`, url]);
  const cpuSeconds = cpuSecondsOf(pids) - before;
  const requests = Number(/(\d+) requests in/.exec(out)?.[1] ?? 0);
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? '0';
  return {
    requests,
    failed: Number(errors),
    cpuMicros: (cpuSeconds / requests) * 1e6,
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)?.[1] ?? 0),
  };
}

/** The times that requests take when all contestants get the same number of them. */
async function atRate(contestant: Contestant, site: Site, seconds: number, rps: number): Promise<Latency> {
  const log = join(site.folder, `${contestant.name}-latency.log`);
  const clients = Number(values.connections);
  const url = `http://127.0.0.1:${contestant.port}/small`;
  const each = Math.ceil((rps * seconds) / clients);
  const perClient = (rps / clients).toFixed(3);
  const args = [
    '--h1',
    `-c${clients}`,
    `-n${each * clients}`,
    `--rps=${perClient}`,
    `--log-file=${log}`,
    url,
  ];
  await rm(log, { force: true });
  await run('h2load', args);
  const micros = (await readFile(log, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]))
    .sort((a, b) => a - b);
  const quantile = (share: number) => (micros[Math.floor(share * (micros.length - 1))] ?? 0) / 1_000;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

async function compare(contestants: readonly Contestant[], body: string) {
  const runs = new Map(contestants.map(({ name }) => [name, [] as Run[]]));
  const seconds = Number(values.seconds);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const contestant of contestants) {
      const result = await saturate(contestant, body, seconds);
      runs.get(contestant.name)?.push(result);
    }
  }
  const micros = (name: string) => median((runs.get(name) ?? []).map(({ cpuMicros }) => cpuMicros));
  const rows = contestants.map(({ name }) => {
    const own = runs.get(name) ?? [];
    return {
      name,
      cpuMicros: round(micros(name)),
      requestsPerSecond: Math.round(median(own.map(({ requestsPerSecond }) => requestsPerSecond))),
      failed: own.reduce((sum, { failed }) => sum + failed, 0),
      timesNginx: round(micros(name) / micros('nginx')),
      timesApache: round(micros(name) / micros('apache')),
    };
  });
  for (const row of rows) say(`${body} ${JSON.stringify(row)}`);
  return rows;
}

const round = (value: number) => (Number.isFinite(value) ? Math.round(value * 100) / 100 : undefined);

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
  const originPorts = await Promise.all([freePort('127.0.0.1'), freePort('127.0.0.1')]);
  const site: Site = { folder, originPorts };
  const running: Contestant[] = [];
  try {
    running.push(await startOrigin(site));
    const contestants: Contestant[] = [];
    for (const name of values.only.split(',')) {
      const start = starters[name];
      if (!start) throw new Error(`--only must name contestants (got "${name}")`);
      const contestant = await start(site);
      running.push(contestant);
      contestants.push(contestant);
      await saturate(contestant, 'small', 1);
    }
    const saturated: Record<string, unknown> = {};
    for (const body of values.bodies.split(',')) saturated[body] = await compare(contestants, body);
    const latency: Record<string, Latency> = {};
    for (const contestant of values.rps ? contestants : []) {
      latency[contestant.name] = await atRate(contestant, site, Number(values.seconds), Number(values.rps));
      say(`${contestant.name} at ${values.rps}/s: ${JSON.stringify(latency[contestant.name])}`);
    }
    const residentKiB = Object.fromEntries(
      contestants.map(({ name, pids }) => [name, residentKiBOf(pids())]),
    );
    process.stdout.write(`${JSON.stringify({ ...values, saturated, latency, residentKiB })}\n`);
  } finally {
    await Promise.all(running.reverse().map((contestant) => contestant.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

if (values.help) process.stdout.write(help);
else await main();
