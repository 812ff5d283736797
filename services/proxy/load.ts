import type { DraftOf } from '../../libs/events/mod.ts';
import { createLatencyHistogram, type LatencyHistogram } from '../../libs/runtime/latency.ts';

/** Upper bounds of the latency buckets: fixed, so that those of several proxies add up. */
export const latencyBoundsSeconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

export type ErrorKind = 'notSent' | 'noAnswer' | 'timedOut' | 'brokenOff';

/** Counts since the start. */
export interface Totals {
  completed: number;
  failed: number;
  requestBytes: number;
  responseBytes: number;
  latencySumMs: number;
  /** One for each bound, and one for what is beyond. */
  readonly latencyBuckets: Float64Array;
  readonly errors: Record<ErrorKind, number>;
}

function createTotals(): Totals {
  return {
    completed: 0,
    failed: 0,
    requestBytes: 0,
    responseBytes: 0,
    latencySumMs: 0,
    latencyBuckets: new Float64Array(latencyBoundsSeconds.length + 1),
    errors: { notSent: 0, noAnswer: 0, timedOut: 0, brokenOff: 0 },
  };
}

/** Running counts of one server or pool between two samples. */
export interface Meter {
  completed: number;
  failed: number;
  readonly latency: LatencyHistogram;
  readonly totals: Totals;
}

export function createMeter(): Meter {
  return { completed: 0, failed: 0, latency: createLatencyHistogram(), totals: createTotals() };
}

/** One request has ended after `latencyMs`; `failed`: it was not served (5xx, reset, time-out). */
export function countEnd(meter: Meter, latencyMs: number, failed: boolean): void {
  meter.completed += 1;
  if (failed) meter.failed += 1;
  meter.latency.record(latencyMs);
  const { totals } = meter;
  totals.completed += 1;
  if (failed) totals.failed += 1;
  totals.latencySumMs += latencyMs;
  let bucket = 0;
  while (latencyMs > (latencyBoundsSeconds[bucket] ?? Number.POSITIVE_INFINITY) * 1_000) bucket += 1;
  totals.latencyBuckets[bucket] = (totals.latencyBuckets[bucket] ?? 0) + 1;
}

export interface PoolMeter extends Meter {
  arrivals: number;
  rejected: number;
  newlyParked: number;
}

export function createPoolMeter(): PoolMeter {
  return { ...createMeter(), arrivals: 0, rejected: 0, newlyParked: 0 };
}

export interface MeteredServer {
  readonly name: string;
  readonly inFlight: number;
  readonly meter: Meter;
}

type LoadSampled = DraftOf<'LoadSampled'>['data'];

/** Takes the counts of the last interval out of the meters, which begin anew at zero. */
export function takeSample(
  about: Pick<LoadSampled, 'pool' | 'proxy' | 'intervalMs' | 'stopping' | 'parked' | 'parkedOldestMs'>,
  pool: PoolMeter,
  servers: readonly MeteredServer[],
): LoadSampled {
  const sample: LoadSampled = {
    ...about,
    arrivals: pool.arrivals,
    completed: pool.completed,
    failed: pool.failed,
    rejected: pool.rejected,
    newlyParked: pool.newlyParked,
    inFlight: servers.reduce((sum, server) => sum + server.inFlight, 0),
    latencyMs: pool.latency.summary(),
    servers: Object.fromEntries(
      servers.map(({ name, inFlight, meter }) => {
        const { completed, failed, latency } = meter;
        return [name, { inFlight, completed, failed, latencyMs: latency.summary() }];
      }),
    ),
  };
  pool.arrivals = 0;
  pool.rejected = 0;
  pool.newlyParked = 0;
  for (const meter of [pool, ...servers.map((server) => server.meter)]) {
    meter.completed = 0;
    meter.failed = 0;
    meter.latency.reset();
  }
  return sample;
}
