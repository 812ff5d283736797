import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../libs/runtime/freePort.ts';
import { readFlags } from '../commandLine.ts';
import { barsSvg } from './bars.ts';
import { atRate, idleMemory, type Latency, median, type Run, saturate } from './proxyLoad.ts';
import {
  bodyBytes,
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
  --bodies LIST    small (1 KiB), large (100 KiB), streamed (100 KiB in chunks); default all
  --only LIST      contestants: nemuri, traced (1 % sampled), full (every request), nginx, haproxy, apache;
                   default all
  --rps N          the equal rate of the latencies; default: half of what nemuri takes; 0: no latencies
  --idle N         idle connections for the memory (default 9000; 0: none)
  --plot FILE      also an SVG of the processor time
`;

const values = readFlags(help, {
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '3' },
  connections: { type: 'string', default: '64' },
  bodies: { type: 'string', default: Object.keys(bodyBytes).join(',') },
  only: { type: 'string', default: 'nemuri,traced,full,nginx,haproxy,apache' },
  rps: { type: 'string' },
  idle: { type: 'string', default: '9000' },
  plot: { type: 'string' },
});

const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const connections = Number(values.connections);
const say = (line: string) => void process.stderr.write(`${line}\n`);
const round = (value: number) => (Number.isFinite(value) ? Math.round(value * 100) / 100 : undefined);

/** @param collectorPort where spans are sent. */
function starters(collectorPort: number): Readonly<Record<string, (site: Site) => Promise<Contestant>>> {
  const tracing = (ratio: string) => ({
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collectorPort}`,
    NEMURI_TRACE_SAMPLE_RATIO: ratio,
  });
  return {
    nemuri: (site) => startNemuri(site, 'nemuri'),
    traced: (site) => startNemuri(site, 'traced', tracing('0.01')),
    full: (site) => startNemuri(site, 'full', tracing('1')),
    nginx: startNginx,
    haproxy: startHaproxy,
    apache: startApache,
  };
}

/** Takes spans and forgets them, as a collector would. */
async function startCollector(): Promise<{ port: number; stop(): void }> {
  const collector = createServer((request, response) => {
    request.resume();
    request.once('end', () => response.setHeader('content-type', 'application/json').end('{}'));
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const address = collector.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    stop() {
      collector.closeAllConnections();
      collector.close();
    },
  };
}

interface Row {
  readonly name: string;
  readonly cpuMicros: number;
  readonly requestsPerSecond: number;
  readonly failed: number;
  readonly timesNginx: number | undefined;
  readonly timesApache: number | undefined;
}

async function compare(contestants: readonly Contestant[], body: string): Promise<Row[]> {
  const runs = new Map(contestants.map(({ name }) => [name, [] as Run[]]));
  for (let turn = 0; turn < rounds; turn += 1) {
    for (const contestant of contestants) {
      runs.get(contestant.name)?.push(await saturate(contestant, body, seconds, connections));
    }
  }
  const micros = (name: string) => median((runs.get(name) ?? []).map(({ cpuMicros }) => cpuMicros));
  const rows = contestants.map(({ name }) => {
    const own = runs.get(name) ?? [];
    return {
      name,
      cpuMicros: round(micros(name)) ?? 0,
      requestsPerSecond: Math.round(median(own.map(({ requestsPerSecond }) => requestsPerSecond))),
      failed: own.reduce((sum, { failed }) => sum + failed, 0),
      timesNginx: round(micros(name) / micros('nginx')),
      timesApache: round(micros(name) / micros('apache')),
    };
  });
  for (const row of rows) say(`${body} ${JSON.stringify(row)}`);
  return rows;
}

/** In turns, too: medians of the quantiles. */
async function latencies(contestants: readonly Contestant[], site: Site, rps: number) {
  const runs = new Map(contestants.map(({ name }) => [name, [] as Latency[]]));
  for (let turn = 0; turn < rounds; turn += 1) {
    for (const contestant of contestants) {
      runs.get(contestant.name)?.push(await atRate(contestant, site, seconds, rps, connections));
    }
  }
  const p99Of = (name: string) => median((runs.get(name) ?? []).map(({ p99Ms }) => p99Ms));
  const rows = [...runs].map(([name, own]) => ({
    name,
    p50Ms: round(median(own.map(({ p50Ms }) => p50Ms))),
    p99Ms: round(p99Of(name)),
    p99TimesNginx: round(p99Of(name) / p99Of('nginx')),
  }));
  for (const row of rows) say(`at ${rps}/s ${JSON.stringify(row)}`);
  return { rps, rows };
}

/** What tracing costs, in per cent of the processor time without it. */
function tracingCost(rows: readonly Row[]) {
  const microsOf = (wanted: string) => rows.find(({ name }) => name === wanted)?.cpuMicros ?? Number.NaN;
  const cost = (name: string) => round((microsOf(name) / microsOf('nemuri') - 1) * 100);
  return { sampledPercent: cost('traced'), fullPercent: cost('full') };
}

async function idleConnections(contestants: readonly Contestant[], count: number) {
  const memory: Record<string, Awaited<ReturnType<typeof idleMemory>>> = {};
  for (const contestant of count > 0 ? contestants : []) {
    memory[contestant.name] = await idleMemory(contestant, count);
    say(`idle ${contestant.name} ${JSON.stringify(memory[contestant.name])}`);
  }
  return memory;
}

async function plot(file: string, saturated: Readonly<Record<string, readonly Row[]>>): Promise<void> {
  const groups = Object.entries(saturated).map(([body, rows]) => ({
    name: body,
    bars: rows.map(({ name, cpuMicros }) => ({ name, value: cpuMicros })),
  }));
  await writeFile(file, barsSvg('Processor time per request', 'µs', groups, /^(nemuri|traced|full)$/));
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
  const originPorts = await Promise.all([freePort('127.0.0.1'), freePort('127.0.0.1')]);
  const site: Site = { folder, originPorts };
  const collector = await startCollector();
  const running: Contestant[] = [];
  try {
    running.push(await startOrigin(site));
    const contestants: Contestant[] = [];
    for (const name of values.only.split(',')) {
      const start = starters(collector.port)[name];
      if (!start) throw new Error(`--only must name contestants (got "${name}")`);
      const contestant = await start(site);
      running.push(contestant);
      contestants.push(contestant);
      await saturate(contestant, 'small', 1, connections);
    }
    const memory = await idleConnections(contestants, Number(values.idle));
    const saturated: Record<string, Row[]> = {};
    for (const body of values.bodies.split(',')) saturated[body] = await compare(contestants, body);
    const own = saturated.small?.find(({ name }) => name === 'nemuri')?.requestsPerSecond ?? 0;
    const rps = values.rps === undefined ? Math.round(own / 2) : Number(values.rps);
    const latency = rps > 0 ? await latencies(contestants, site, rps) : undefined;
    if (values.plot !== undefined) await plot(values.plot, saturated);
    const tracing = tracingCost(saturated.small ?? []);
    process.stdout.write(`${JSON.stringify({ ...values, saturated, tracing, latency, memory })}\n`);
  } finally {
    await Promise.all(running.reverse().map((contestant) => contestant.stop()));
    collector.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
