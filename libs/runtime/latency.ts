import { build } from 'hdr-histogram-js';

export interface LatencySummary {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface LatencyHistogram {
  /** Adds one latency in ms; what is not a time is left out. */
  record(latencyMs: number): void;
  /** Quantiles in ms, to two significant digits; all 0 while empty. */
  summary(): LatencySummary;
  quantile(share: number): number;
  readonly count: number;
  reset(): void;
}

/** Longer than this is recorded as this: one hour. */
const highestMicros = 3_600_000_000;

/** A histogram of latencies (HdrHistogram, microsecond steps up to an hour, allocation-free to record). */
export function createLatencyHistogram(): LatencyHistogram {
  const histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: highestMicros,
    numberOfSignificantValueDigits: 2,
    useWebAssembly: false,
  });
  const quantile = (share: number) =>
    histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(share * 100) / 1_000;
  return {
    record(latencyMs) {
      if (!(latencyMs >= 0)) return;
      histogram.recordValue(Math.min(highestMicros, Math.round(latencyMs * 1_000)));
    },
    summary: () => ({ p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: quantile(1) }),
    quantile,
    get count() {
      return histogram.totalCount;
    },
    reset: () => histogram.reset(),
  };
}
