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

/**
 * Puts the recording together from the events of that time, in any order of streams. Pure.
 * @throws Error when no load of the pool was recorded.
 */
export function recordingOf(
  events: Iterable<RecordedEvent>,
  pool: string,
  fromMs: number,
  toMs: number,
): Recording {
  const counts = new Float64Array(Math.max(1, Math.ceil((toMs - fromMs) / 1_000)));
  const ledgers = new Map<string, LedgerEntry>();
  let wakes = 0;
  let requests = 0;
  let failed = 0;
  let samples = 0;
  for (const event of events) {
    if (event.timeMs < fromMs || event.timeMs > toMs || !('pool' in event.data) || event.data.pool !== pool)
      continue;
    if (event.type === 'WakeRequested') wakes += 1;
    else if (event.type === 'PowerMetered') {
      const { server, powerWatts, meter } = event.data;
      const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
      ledgers.set(server, addReading(ledgers.get(server) ?? emptyLedgerEntry, point, longestMeterGapMs));
    } else if (event.type === 'LoadSampled') {
      samples += 1;
      requests += event.data.completed;
      failed += event.data.failed;
      spread(
        counts,
        event.data.arrivals,
        event.timeMs - event.data.intervalMs - fromMs,
        event.timeMs - fromMs,
      );
    }
  }
  if (samples === 0) throw new Error(`no load of pool ${pool} was recorded in that time`);
  const energyWh = [...ledgers.values()].reduce((sum, ledger) => sum + ledger.energyWh, 0);
  return { pool, fromMs, arrivals: wholeNumbers(counts), energyWh, wakes, requests, failed };
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
    maxWaiting: pool.parking.maxRequests,
    wakeFailure: 0,
    setupSpread: 0,
  });
}
