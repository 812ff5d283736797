import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { readFlags } from '../commandLine.ts';
import { runOpenLoop } from '../load/openLoop.ts';
import {
  type FailoverSite,
  type Patience,
  startHaproxySite,
  startNemuriSite,
  startNginxSite,
} from './failoverSites.ts';
import { type Death, deaths, type Host, type Hosts, startHosts } from './hosts.ts';

const help = `The second part of npm run bench:health: from the death of a server under load to the last request that was sent to
it, and to the wake of its replacement, beside HAProxy and nginx. Needs root (it works in network namespaces of its
own), tcpdump, haproxy and nginx. The last line on stdout is the report as JSON.

  --rounds N       deaths of each kind for each contestant (default 5)
  --rps N          requests a second (default 200)
  --interval-ms N  between two probes, for all contestants (default 1000)
  --watch-ms N     after each death (default 8000)
  --only LIST      of nemuri, haproxy, nginx (default: all)
  --deaths LIST    of ${deaths.join(', ')} (default: all)
`;

const values = readFlags(help, {
  rounds: { type: 'string', default: '5' },
  rps: { type: 'string', default: '200' },
  'interval-ms': { type: 'string', default: '1000' },
  'watch-ms': { type: 'string', default: '8000' },
  only: { type: 'string', default: 'nemuri,haproxy,nginx' },
  deaths: { type: 'string', default: deaths.join(',') },
});
const insideVariable = 'NEMURI_BENCH_INSIDE';
const serving = 4;
const hostCount = 6;
const watchMs = Number(values['watch-ms']);
const intervalMs = Number(values['interval-ms']);
const patience: Patience = {
  intervalMs,
  fastIntervalMs: intervalMs / 4,
  connectMs: 1_000,
  responseMs: 2_000,
};
const say = (line: string) => void process.stderr.write(`${line}\n`);

interface Round {
  readonly requests: number;
  readonly failed: number;
  /** Requests begun to the dead server, and when the last of them was, in ms after its death. */
  readonly sentToDead: number;
  readonly lastRequestMs: number;
  readonly detectedMs: number | undefined;
  readonly wakeRequestedMs: number | undefined;
  readonly wakeMs: number | undefined;
}

function* evenly(rps: number): Generator<number> {
  for (let index = 0; ; index += 1) yield index / rps;
}

/** One death under load. */
async function playRound(site: FailoverSite, hosts: Hosts, death: Death, turn: number): Promise<Round> {
  const candidates = await site.settled();
  const abort = new AbortController();
  const load = runOpenLoop({
    url: site.url,
    arrivals: evenly(Number(values.rps)),
    timeoutMs: 20_000,
    signal: abort.signal,
  });
  const victim = await inUse(hosts, candidates, turn).catch((error) => {
    throw new Error(`${site.name}: ${error.message}; ${JSON.stringify(load.result())}`);
  });
  hosts.forget();
  const diedMs = performance.timeOrigin + performance.now();
  await victim.die(death);
  await pause(watchMs);
  abort.abort();
  const { requests, failed, causes } = await load.done;
  const sent = hosts.requestsTo(victim).filter((timeMs) => timeMs > diedMs);
  const { detectedMs, wakeRequestedMs, wakeMs } = site.knownOf(victim, diedMs);
  const sinceDeath = (timeMs: number | undefined) =>
    timeMs === undefined ? undefined : Math.round(timeMs - diedMs);
  await victim.revive();
  const round = {
    requests,
    failed,
    sentToDead: sent.length,
    lastRequestMs: Math.round(Math.max(diedMs, ...sent) - diedMs),
    detectedMs: sinceDeath(detectedMs),
    wakeRequestedMs: sinceDeath(wakeRequestedMs),
    wakeMs: sinceDeath(wakeMs),
  };
  say(`${site.name} ${death} ${victim.name}: ${JSON.stringify({ ...round, causes })}`);
  return round;
}

/** Requests go to every one of them; one of these, another each time. */
async function inUse(hosts: Hosts, candidates: readonly Host[], turn: number): Promise<Host> {
  const deadlineMs = Date.now() + 15_000;
  hosts.forget();
  for (;;) {
    await pause(500);
    const used = candidates.filter((host) => hosts.requestsTo(host).length > 20);
    const victim = used[turn % candidates.length];
    if (used.length === candidates.length && victim) return victim;
    if (Date.now() > deadlineMs) {
      const counts = candidates.map((host) => `${host.name} ${hosts.requestsTo(host).length}`);
      throw new Error(`not every server gets requests: ${counts.join(', ')}`);
    }
  }
}

function quantile(numbers: readonly number[], share: number): number | undefined {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1];
}

function summary(rounds: readonly Round[]) {
  const known = (numbers: readonly (number | undefined)[]) =>
    numbers.filter((number) => number !== undefined);
  const both = (numbers: readonly number[]) => ({
    p50: quantile(numbers, 0.5),
    p99: quantile(numbers, 0.99),
  });
  const fromDetection = (to: 'wakeRequestedMs' | 'wakeMs') =>
    known(
      rounds.map(({ detectedMs, [to]: timeMs }) =>
        detectedMs === undefined || timeMs === undefined ? undefined : Math.max(0, timeMs - detectedMs),
      ),
    );
  const wakes = known(rounds.map(({ wakeMs }) => wakeMs));
  return {
    rounds: rounds.length,
    requests: rounds.reduce((sum, { requests }) => sum + requests, 0),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    sentToDead: both(rounds.map(({ sentToDead }) => sentToDead)),
    lastRequestMs: both(rounds.map(({ lastRequestMs }) => lastRequestMs)),
    /** Still sent to it when the watch ended. */
    neverEnded: rounds.filter(({ lastRequestMs }) => lastRequestMs > watchMs - 1_000).length,
    ...(wakes.length > 0
      ? {
          wakeMs: both(wakes),
          requestedAfterDetectionMs: both(fromDetection('wakeRequestedMs')),
          wakeAfterDetectionMs: both(fromDetection('wakeMs')),
          woken: wakes.length,
        }
      : {}),
  };
}

const starters: Readonly<Record<string, (folder: string, hosts: readonly Host[]) => Promise<FailoverSite>>> =
  {
    nemuri: (folder, hosts) => startNemuriSite(folder, hosts, serving, patience),
    haproxy: (folder, hosts) => startHaproxySite(folder, hosts.slice(0, serving), patience),
    nginx: (folder, hosts) => startNginxSite(folder, hosts.slice(0, serving), patience),
  };

async function main(): Promise<void> {
  const report: Record<string, Record<string, unknown>> = {};
  for (const name of values.only.split(',')) {
    const start = starters[name];
    if (!start) throw new Error(`--only must name contestants (got "${name}")`);
    const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
    const hosts = await startHosts(hostCount);
    const own: Record<string, unknown> = {};
    report[name] = own;
    try {
      if (name !== 'nemuri') await Promise.all(hosts.all.slice(0, serving).map((host) => host.powerOn()));
      const site = await start(folder, hosts.all);
      try {
        for (const death of deaths.filter((one) => values.deaths.split(',').includes(one))) {
          const rounds: Round[] = [];
          for (let turn = 0; turn < Number(values.rounds); turn += 1)
            rounds.push(await playRound(site, hosts, death, turn));
          own[death] = summary(rounds);
        }
      } finally {
        await site.stop();
      }
    } finally {
      await hosts.stop();
      await rm(folder, { recursive: true, force: true });
    }
  }
  const setting = { ...patience, watchMs, rps: Number(values.rps), serving };
  const machine = { node: process.version, cores: availableParallelism(), load1: loadavg()[0] };
  process.stdout.write(
    `${JSON.stringify({ benchmark: 'health: failover', ...machine, setting, ...report })}\n`,
  );
}

/** All networks and processes of this are in namespaces of their own, and gone with it, however it ends. */
async function runInside(): Promise<void> {
  const namespaces = ['--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const args = [...namespaces, process.execPath, ...process.argv.slice(1)];
  const child = spawn('unshare', args, { stdio: 'inherit', env: { ...process.env, [insideVariable]: '1' } });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

await (process.env[insideVariable] ? main() : runInside());
