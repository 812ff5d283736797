import { addReading, emptyLedgerEntry, type LedgerEntry } from '../../libs/domain/mod.ts';
import type { FleetConfig, RecordedEvent } from '../../libs/events/mod.ts';
import { seededRandom } from '../rack/random.ts';
import { type NemuriResult, simulateNemuri } from './nemuri.ts';

/** What the history says of one pool over a time: the load of each second, and what came of it. */
export interface Recording {
  readonly pool: string;
  readonly fromMs: number;
  /** Requests in each second from `fromMs` on. */
  readonly arrivals: Uint32Array;
  readonly energyWh: number;
  readonly wakes: number;
  readonly requests: number;
  readonly failed: number;
}

const longestMeterGapMs = 60_000;
/** Below so many setup times of its slowest server a pool has not shown what a setting does to it. */
const leastSetups = 10;
const leastSeconds = 60;

/** Takes in what the history says of one pool over a time, event by event: a day of a large fleet is too much to hold. */
export interface Recorder {
  /** In any order of streams; what is of another pool or time is passed over. */
  add(event: RecordedEvent): void;
  /** All of it, from the first load on: before that nothing is known. @throws Error when no load was recorded. */
  end(): Recording;
}

export function startRecording(pool: string, fromMs: number, toMs: number): Recorder {
  const counts = new Float64Array(Math.max(1, Math.ceil((toMs - fromMs) / 1_000)));
  const ledgers = new Map<string, LedgerEntry>();
  let wakes = 0;
  let requests = 0;
  let failed = 0;
  let firstMs = Number.POSITIVE_INFINITY;
  return {
    add(event) {
      if (event.timeMs < fromMs || event.timeMs > toMs || !('pool' in event.data) || event.data.pool !== pool)
        return;
      if (event.type === 'WakeRequested') wakes += 1;
      else if (event.type === 'PowerMetered') {
        const { server, powerWatts, meter } = event.data;
        const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
        ledgers.set(server, addReading(ledgers.get(server) ?? emptyLedgerEntry, point, longestMeterGapMs));
      } else if (event.type === 'LoadSampled') {
        const { arrivals, completed, intervalMs } = event.data;
        requests += completed;
        failed += event.data.failed;
        firstMs = Math.min(firstMs, event.timeMs - intervalMs);
        spread(counts, arrivals, event.timeMs - intervalMs - fromMs, event.timeMs - fromMs);
      }
    },
    end() {
      if (firstMs === Number.POSITIVE_INFINITY)
        throw new Error(`no load of pool ${pool} was recorded in that time`);
      const firstSecond = Math.max(0, Math.floor((firstMs - fromMs) / 1_000));
      const energyWh = [...ledgers.values()].reduce((sum, ledger) => sum + ledger.energyWh, 0);
      const arrivals = wholeNumbers(counts.subarray(firstSecond));
      return { pool, fromMs: fromMs + firstSecond * 1_000, arrivals, energyWh, wakes, requests, failed };
    },
  };
}

/**
 * Why this recording says too little of such a pool; undefined: it says enough. Whatever is changed, a server takes its
 * setup time to come, so a load that is known for few of them decides nothing.
 */
export function tooShort({ pool, arrivals }: Recording, config: FleetConfig): string | undefined {
  const own = Object.values(config.servers).filter((server) => server.pool === pool);
  const setupSeconds = Math.max(0, ...own.map(({ energy }) => energy.setupTimeMs / 1_000));
  const needed = Math.ceil(Math.max(leastSeconds, leastSetups * setupSeconds));
  if (arrivals.length >= needed) return undefined;
  return (
    `the history is too short: ${arrivals.length} s of load of pool ${pool} are recorded in that time, ` +
    `and at least ${needed} s are needed (${leastSetups} setup times of its slowest server)`
  );
}

/** Shares `count` out over the seconds between two times, in ms from the start. */
function spread(counts: Float64Array, count: number, fromMs: number, toMs: number): void {
  const lengthMs = Math.max(1, toMs - fromMs);
  for (
    let second = Math.max(0, Math.floor(fromMs / 1_000));
    second * 1_000 < toMs && second < counts.length;
    second += 1
  ) {
    const overlapMs = Math.min(toMs, (second + 1) * 1_000) - Math.max(fromMs, second * 1_000);
    counts[second] = (counts[second] ?? 0) + (count * overlapMs) / lengthMs;
  }
}

/** Rounds so that nothing is lost over time. */
function wholeNumbers(counts: Float64Array): Uint32Array {
  let carried = 0;
  return Uint32Array.from(counts, (count) => {
    carried += count;
    const whole = Math.floor(carried + 1e-9);
    carried -= whole;
    return whole;
  });
}

/** The recorded load before the servers of a configuration, planned for with its settings. */
export function replayPlanned(recording: Recording, config: FleetConfig, seed: number): NemuriResult {
  const pool = config.pools[recording.pool];
  if (!pool) throw new Error(`the configuration has no pool ${recording.pool}`);
  const servers = Object.fromEntries(
    Object.entries(config.servers).filter(([, server]) => server.pool === recording.pool),
  );
  const { arrivals } = recording;
  const first = Object.values(servers)[0];
  if (!first) throw new Error(`the configuration has no server in pool ${recording.pool}`);
  return simulateNemuri({
    config: { ...config, pools: { [recording.pool]: pool }, servers },
    load: { seconds: arrivals.length, cappedSeconds: 0, rate: (second) => arrivals[second] ?? 0 },
    arrivals,
    random: seededRandom(seed),
    facts: {
      servers: Object.keys(servers).length,
      capacityRps: first.capacityRps,
      setupSeconds: first.energy.setupTimeMs / 1_000,
      idleWatts: first.energy.idleWatts,
      busyWatts: first.energy.busyWatts,
      setupWatts: first.energy.setupWatts,
      offWatts: first.energy.offWatts,
      latencyObjectiveSeconds: pool.latencyObjectiveMs / 1_000,
    },
    // A fifth of the objective is taken for the work itself; the rest may be waited.
    serviceSeconds: pool.latencyObjectiveMs / 5_000,
    startMs: recording.fromMs,
    maxWaiting: pool.parking.maxRequests,
    wakeFailure: 0,
    setupSpread: 0,
  });
}
