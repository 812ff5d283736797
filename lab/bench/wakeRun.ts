import { Value } from '@sinclair/typebox/value';
import {
  type Fleet,
  foldInto,
  healthSeen,
  initialFleet,
  isCountedOn,
  nobodySeen,
  type PowerAction,
  planPower,
  proxySeen,
  type ServerView,
  serversOfPool,
} from '../../libs/domain/mod.ts';
import {
  type EventDraft,
  FleetConfigSchema,
  type RecordedEvent,
  streamOf,
  subjectOf,
} from '../../libs/events/mod.ts';
import { seededRandom } from '../rack/random.ts';
import { createWakeWorld } from './wakeWorld.ts';

export interface WakeBenchOptions {
  readonly servers: number;
  readonly wakes: number;
  readonly failureShare: number;
  readonly hangShare: number;
  readonly spares: number;
  readonly seed: number;
}

export interface WakeBenchResult extends WakeBenchOptions {
  readonly cases: number;
  readonly medianSetupMs: number;
  readonly reachedInTimePercent: number;
  /** Time to the capacity asked for, in fleet median setup times. */
  readonly timeToCapacity: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly faults: Readonly<Record<string, number>>;
  readonly overdue: number;
  readonly climbs: number;
  readonly quarantines: number;
}

const pool = 'web';
const setupTimeMs = 120_000;
const stepMs = 2_000;
const awakeAtFirst = 20;
const largestStep = 8;
const allowedSetupTimes = 1.5;
/** No case takes longer, or the design has failed and the bench says so. */
const caseLimitMs = 3_600_000;

/**
 * Steps of demand on a simulated fleet, by the production code: the plan of the power service and the fold. What
 * stands in for the planner asks for capacity and counts on servers by the domain's own rule.
 */
export function runWakeBench(options: WakeBenchOptions): WakeBenchResult {
  const names = Array.from(
    { length: options.servers },
    (_, index) => `s${String(index + 1).padStart(3, '0')}`,
  );
  const world = createWakeWorld({ ...options, servers: names, setupTimeMs });
  const random = seededRandom(options.seed + 1);
  const fleet = initialFleet();
  const counts: Record<string, number> = {};
  const setups: number[] = [];
  let nowMs = 1_900_000_000_000;
  let measuring = false;

  const fact = (draft: EventDraft) => {
    if (measuring) counts[draft.type] = (counts[draft.type] ?? 0) + 1;
    const place = { stream: streamOf(draft.type), subject: subjectOf(draft), sequence: fleet.sequence + 1 };
    const times = { timeMs: nowMs, storedMs: nowMs };
    const context = { id: String(place.sequence), source: '/bench', version: 1, ...times };
    foldInto(fleet, { ...draft, ...context, ...place } as RecordedEvent);
  };
  const about = (server: string) => ({ server, pool });
  const ready = () => serversOfPool(fleet, pool).filter(({ state }) => state.lifecycle === 'ready').length;

  const carryOut = (action: PowerAction) => {
    const { server } = action;
    const own = { ...about(server), reason: 'bench' };
    const id = `${server}-${fleet.sequence}`;
    switch (action.kind) {
      case 'requestWake':
        world.beginWake(server);
        return fact({ type: 'WakeRequested', data: { ...own, wakeId: id } });
      case 'attemptWake': {
        const { rung, attempt, wake } = action;
        const data = { ...about(server), wakeId: wake.wakeId, rung, attempt };
        if (measuring && rung > wake.rung) counts.climbs = (counts.climbs ?? 0) + 1;
        fact({ type: 'WakeAttempted', data: { ...data, driver: 'bench' } });
        if (world.wake(server, rung, nowMs)) return;
        return fact({ type: 'WakeAttemptFailed', data: { ...data, error: 'refused' } });
      }
      case 'reportOverdue': {
        const { wake, milestone, expectedMs } = action;
        const elapsedMs = nowMs - wake.requestedAtMs;
        const data = { ...about(server), wakeId: wake.wakeId, milestone, elapsedMs, expectedMs };
        return fact({ type: 'WakeOverdue', data });
      }
      case 'giveUpWake':
        return fact({ type: 'WakeTimedOut', data: { ...own, wakeId: action.wake.wakeId, elapsedMs: 0 } });
      case 'quarantine':
        return fact({ type: 'ServerQuarantined', data: { ...own, untilMs: action.untilMs } });
      case 'requestSleep': {
        fact({ type: 'SleepRequested', data: { ...own, sleepId: id, drainTimeoutMs: 1 } });
        return fact({
          type: 'ServerDrained',
          data: { ...about(server), proxy: 'p1', sleepId: id, elapsedMs: 0 },
        });
      }
      case 'attemptSleep': {
        const { attempt, forced, sleep } = action;
        const data = { ...about(server), sleepId: sleep.sleepId, attempt, forced, driver: 'bench' };
        fact({ type: 'SleepAttempted', data });
        return world.sleep(server, forced);
      }
      case 'cancelSleep':
        return fact({ type: 'SleepCancelled', data: { ...own, sleepId: action.sleep.sleepId } });
      default:
        throw new Error(`the bench asks for no ${action.kind}`);
    }
  };

  /** What BMCs and probes say at this moment that the fleet does not know. */
  const look = ({ state }: ServerView) => {
    const { name } = state;
    const on = world.isOn(name, nowMs);
    if (on && state.powerState !== 'on') fact({ type: 'ServerPoweredOn', data: about(name) });
    if (!on && state.powerState === 'on' && state.lifecycle === 'stopping') {
      fact({ type: 'ServerPoweredOff', data: about(name) });
      fact({ type: 'SleepVerified', data: { ...about(name), evidence: 'bench' } });
    }
    if (!world.serves(name, nowMs) || state.health === 'healthy' || state.lifecycle === 'asleep') return;
    if (state.lifecycle === 'stopping') return;
    const requestedAtMs = state.wake?.requestedAtMs;
    if (measuring && requestedAtMs !== undefined) setups.push(nowMs - requestedAtMs);
    fact({ type: 'ServerBecameHealthy', data: { ...about(name), latencyMs: 1, consecutive: 2 } });
  };

  const step = (wanted: number) => {
    nowMs += stepMs;
    for (const view of serversOfPool(fleet, pool)) look(view);
    decide(fleet, wanted, nowMs, fact);
    const liveness = healthSeen(proxySeen(nobodySeen, 'p1', nowMs, false), nowMs);
    // As the power service: an intent changes the state, so the rest is planned anew.
    for (let rounds = 0; rounds < options.servers * 2; rounds += 1) {
      const plan = planPower({ fleet, liveness, nowMs });
      for (const action of plan) if (action.kind.startsWith('attempt')) carryOut(action);
      const intent = plan.find(({ kind }) => !kind.startsWith('attempt'));
      if (!intent) break;
      carryOut(intent);
    }
  };
  const until = (wanted: number, reached: () => boolean): number => {
    const sinceMs = nowMs;
    while (!reached() && nowMs - sinceMs < caseLimitMs) step(wanted);
    return nowMs - sinceMs;
  };

  fact({ type: 'FleetConfigured', data: { config: configOf(names, options.spares), origin: 'bench' } });
  for (const server of names) {
    fact({ type: 'ServerPoweredOff', data: about(server) });
    fact({ type: 'SleepVerified', data: { ...about(server), evidence: 'bench' } });
  }
  const isSettled = () => ready() === awakeAtFirst + options.spares;
  // Each machine has been woken before, as by its fire drills: its past is what the design learns from.
  until(options.servers, () =>
    serversOfPool(fleet, pool).every(({ state }) => state.setupTimesMs.length > 0),
  );
  until(awakeAtFirst + options.spares, isSettled);
  measuring = true;
  const times: number[] = [];
  while ((counts.WakeRequested ?? 0) < options.wakes) {
    // More than the spares that serve already: each case has to wait for machines.
    const wanted = awakeAtFirst + options.spares + 1 + Math.floor(random() * largestStep);
    times.push(until(wanted + options.spares, () => ready() >= wanted));
    until(awakeAtFirst + options.spares, isSettled);
  }
  const medianSetupMs = quantile(setups, 0.5);
  const ratios = times.map((time) => time / medianSetupMs);
  const inTime = ratios.filter((ratio) => ratio <= allowedSetupTimes).length;
  return {
    ...options,
    cases: times.length,
    medianSetupMs,
    reachedInTimePercent: round((inTime / times.length) * 100),
    timeToCapacity: {
      p50: round(quantile(ratios, 0.5)),
      p99: round(quantile(ratios, 0.99)),
      max: round(Math.max(...ratios)),
    },
    faults: { ...world.faults },
    overdue: counts.WakeOverdue ?? 0,
    climbs: counts.climbs ?? 0,
    quarantines: counts.ServerQuarantined ?? 0,
  };
}

/** So many servers that can be counted on: those that serve first, then those on their way, then sleepers. */
function decide(fleet: Fleet, wanted: number, nowMs: number, fact: (draft: EventDraft) => void): void {
  const order = ['ready', 'waking', 'asleep', 'draining', 'stopping'];
  const rank = ({ state }: ServerView) => order.indexOf(state.lifecycle);
  const servers = serversOfPool(fleet, pool).filter((view) => rank(view) >= 0);
  const target: string[] = [];
  let counted = 0;
  for (const view of servers.sort((a, b) => rank(a) - rank(b) || restedFirst(a, b))) {
    if (counted >= wanted) break;
    target.push(view.state.name);
    if (isCountedOn(view)) counted += 1;
  }
  const known = fleet.pools[pool]?.decision;
  const isSame = known && known.target.join() === target.join() && nowMs - known.decidedAtMs < 10_000;
  if (isSame) return;
  const data = { pool, target, inputs: noInputs, forecastRps: wanted, validForMs: 30_000, reason: 'bench' };
  fact({ type: 'CapacityDecided', data });
}

function restedFirst(a: ServerView, b: ServerView): number {
  return a.state.failedWakes - b.state.failedWakes || a.state.sinceMs - b.state.sinceMs;
}

const noInputs = {
  nowRps: 0,
  levelRps: 0,
  keepRps: 0,
  risk: 0.001,
  horizonMs: 0,
  parked: 0,
  inFlight: 0,
  proxies: 1,
  observedForMs: 0,
  neededServers: 0,
  keptServers: 0,
  capacityRps: 0,
  countedServers: 0,
  floor: 0,
  spareServers: 0,
  headroom: 0,
  breakEvenMs: 0,
};

function configOf(names: readonly string[], spareServers: number) {
  const rung = {
    driver: 'redfish',
    url: 'https://bmc.test',
    username: 'bench',
    password: 'env:BENCH',
    tries: 2,
  };
  const server = (name: string) => ({
    pool,
    url: `http://${name}.test`,
    capacityRps: 1,
    power: [rung, rung].map((one) => ({ ...one, allowForceOff: true, gracefulOffTimeoutMs: 30_000 })),
    energy: { setupTimeMs },
  });
  const config = {
    version: 1,
    pools: { [pool]: { minServers: 1, spareServers, planner: { minAwakeMs: 0 } } },
    servers: Object.fromEntries(names.map((name) => [name, server(name)])),
    bounds: { maxConcurrentWakes: largestStep * 2, maxCyclesPerDay: 200 },
  };
  return Value.Decode(FleetConfigSchema, Value.Default(FleetConfigSchema, config));
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
