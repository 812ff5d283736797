import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { familyOf, residentKiBOf } from '../bench/processes.ts';
import { type Crowd, together, unanswered } from './crowdTally.ts';
import { type SoakSite, startSoakSite } from './site.ts';
import { type Outcome, visit } from './visit.ts';

/** Of each server of the sleeping pool. */
const maxInFlight = 64;
/** As the pool has them. */
const parkingPlaces = 1_000;
const bytes = 60_000;
/** Of one client of the crowd, who is refused at once or not at all. */
const clientPatienceMs = 60_000;
/** After the crowd: the wake, and the answers to all who waited. */
const wakePatienceMs = 120_000;
const sampleMs = 200;
const progressMs = 5_000;
const processes = 2;

export interface CrowdOptions {
  /** All to be answered 200 after the wake. */
  readonly clients: number;
  /** That come while those wait. */
  readonly more: number;
  /** Connections of those at once. */
  readonly atOnce: number;
  /** For all of the crowd: then nobody more comes, and it has failed. */
  readonly deadlineMs: number;
  /** By how much the proxy's resident memory may grow. */
  readonly growthMiB: number;
  /** Settings of the proxy beside its defaults. */
  readonly proxy: Partial<FleetConfig['proxy']>;
  readonly say: (line: string) => void;
}

/** A pool at zero: those who came first wait, those who come in masses are bounded, and each is told. */
export async function crowdAtZero(options: CrowdOptions) {
  const { proxy, deadlineMs } = options;
  const parking = { maxRequests: parkingPlaces, maxWaitMs: deadlineMs + wakePatienceMs };
  const site = await startSoakSite({ servers: 3, maxInFlight, awake: false, pool: { parking }, proxy });
  const memory = watchMemory(familyOf(site.proxy.pid ?? 0));
  try {
    return await comeAndWake(options, site, memory, parking.maxWaitMs);
  } finally {
    memory.stop();
    await site.stop();
  }
}

async function comeAndWake(options: CrowdOptions, site: SoakSite, memory: Memory, patienceMs: number) {
  const { clients, more, atOnce, deadlineMs, growthMiB, say } = options;
  const untilMs = Date.now() + deadlineMs;
  const come = (count: number, first: number) =>
    Array.from({ length: count }, (_, index) =>
      visit({ port: site.port, turn: first + index, bytes, patienceMs }),
    );
  const waiting = come(clients, 0);
  await untilParked(site, clients, untilMs);
  const beforeMiB = memory.nowMiB();
  // The first of the crowd find the places that are left; from then on each is refused at once.
  const places = Math.min(more, Math.max(0, parkingPlaces - clients));
  const late = come(places, clients);
  await untilParked(site, clients + places, untilMs);
  const parkedMiB = memory.nowMiB();
  const coming = { site, first: clients + places, count: more - places, atOnce, untilMs, say };
  const crowdStartedMs = Date.now();
  const crowd = await theCrowd(coming, memory.mostMiB);
  const crowdSeconds = (Date.now() - crowdStartedMs) / 1_000;
  say(`${crowd.came} came in ${crowdSeconds} s; the servers wake`);
  const metrics = await site.metrics();
  const wokenMs = Date.now();
  for (const server of site.servers) await site.wake(server);
  const answered = countsOf(await Promise.all(waiting));
  const parkedOfMore = countsOf(await Promise.all(late));
  const wakeSeconds = (Date.now() - wokenMs) / 1_000;
  const mostInFlight = Math.max(...(await Promise.all(site.servers.map(site.mostInFlight))));
  const refusedConnections = metrics.get('nemuri_proxy_connections_refused_total') ?? 0;
  const lost = unanswered(crowd, refusedConnections);
  const mostMiB = memory.mostMiB();
  const isBounded = mostInFlight <= maxInFlight && mostMiB - beforeMiB <= growthMiB;
  const isWhole = answered.served === clients && (parkedOfMore.served ?? 0) === places;
  return {
    clients,
    answered,
    more,
    parkedOfMore,
    crowd,
    refusedConnections,
    unanswered: lost,
    atOnce,
    crowdSeconds,
    wakeSeconds,
    parkedAtMost: metrics.get('nemuri_parked') ?? 0,
    mostInFlight,
    limit: maxInFlight,
    restarts: site.proxy.restarts,
    memoryMiB: { before: beforeMiB, parked: parkedMiB, most: mostMiB, after: memory.nowMiB() },
    passed: isWhole && isBounded && lost === 0 && crowd.came === more - places,
  };
}

/** The resident memory of some processes together. */
interface Memory {
  readonly nowMiB: () => number;
  readonly mostMiB: () => number;
  readonly stop: () => void;
}

function watchMemory(pids: readonly number[]): Memory {
  let mostMiB = 0;
  const nowMiB = () => {
    const residentMiB = Math.round(residentKiBOf(pids) / 1_024);
    mostMiB = Math.max(mostMiB, residentMiB);
    return residentMiB;
  };
  const sampler = setInterval(nowMiB, sampleMs);
  return { nowMiB, mostMiB: () => mostMiB, stop: () => clearInterval(sampler) };
}

function countsOf(outcomes: readonly Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const what = typeof outcome === 'string' ? outcome : outcome.other;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

async function untilParked(site: SoakSite, count: number, untilMs: number): Promise<void> {
  while (((await site.metrics()).get('nemuri_parked') ?? 0) < count) {
    if (Date.now() > untilMs)
      throw new Error(`fewer than ${count} requests are parked when the time is over`);
    await delay(50);
  }
}

interface Coming {
  readonly site: SoakSite;
  readonly first: number;
  readonly count: number;
  readonly atOnce: number;
  readonly untilMs: number;
  readonly say: (line: string) => void;
}

/** Processes whose clients come and are refused. @returns what they got, when all have come or the time is over. */
async function theCrowd(
  { site, first, count, atOnce, untilMs, say }: Coming,
  mostMiB: () => number,
): Promise<Crowd> {
  const crowds = new Map<ChildProcess, Crowd>();
  const children: ChildProcess[] = [];
  const each = Math.ceil(count / processes);
  const dones: Promise<void>[] = [];
  for (let index = 0; index < processes; index += 1) {
    const its = Math.min(each, count - index * each);
    const numbers = [site.port, first + index * each, its, Math.ceil(atOnce / processes), clientPatienceMs];
    const child = fork(resolve('dist/lab/soak/visitors.js'), numbers.map(String));
    children.push(child);
    dones.push(
      new Promise((done, fail) => {
        child.on('message', (message: { kind: string; crowd: Crowd }) => {
          crowds.set(child, message.crowd);
          if (message.kind === 'done') done();
        });
        child.once('exit', (code) => fail(new Error(`a process of the crowd ended with ${code}`)));
      }),
    );
  }
  const progress = setInterval(() => {
    const { came, refused, served, turnedAway, others } = together(crowds.values());
    say(
      `${came} of ${count} came: ${JSON.stringify({ refused, served, turnedAway, ...others })}; ${mostMiB()} MiB`,
    );
  }, progressMs);
  const deadline = setTimeout(
    () => {
      say('the time is over: nobody more comes');
      for (const child of children) child.send('stop');
    },
    Math.max(0, untilMs - Date.now()),
  );
  try {
    await Promise.all(dones);
    return together(crowds.values());
  } finally {
    clearInterval(progress);
    clearTimeout(deadline);
    for (const child of children) {
      child.removeAllListeners('exit');
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  }
}
