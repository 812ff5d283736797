/** One proxy's measurement of one pool over `intervalMs` up to `timeMs` (epoch ms). */
export interface LoadSample {
  readonly proxy: string;
  readonly timeMs: number;
  readonly intervalMs: number;
  readonly arrivals: number;
  readonly inFlight: number;
  readonly parked: number;
  readonly stopping: boolean;
}

/** The samples of the last `windowMs` of each proxy, oldest first. */
export interface LoadHistory {
  readonly byProxy: Readonly<Record<string, readonly LoadSample[]>>;
  /** Epoch ms since when the load is known without a gap. */
  readonly sinceMs: number | undefined;
  /** Epoch ms of the latest sample. */
  readonly latestMs: number;
}

export const emptyLoadHistory: LoadHistory = { byProxy: {}, sinceMs: undefined, latestMs: 0 };

/** No proxy heard for so many sample intervals: what was known before does not count as known any more. */
const gapIntervals = 15;

/** A proxy sends a sample a second; more than this many are thinned out by age. */
const maxSamplesPerProxy = 20_000;

/**
 * Takes one sample in and forgets what is older than `windowMs`. Nonsense (negative, not finite, beyond the safe
 * integers, an interval below 1 ms) and samples that come out of order are left out. A sample from far before the
 * last one means that the proxy's clock was set back: what it measured in that future is dropped, so that its
 * demand is neither counted twice nor frozen.
 */
export function observeLoad(history: LoadHistory, sample: LoadSample, windowMs: number): LoadHistory {
  const numbers = [sample.timeMs, sample.intervalMs, sample.arrivals, sample.inFlight, sample.parked];
  const isNonsense = (value: number) => !(value >= 0 && value <= Number.MAX_SAFE_INTEGER);
  if (numbers.some(isNonsense) || sample.intervalMs < 1) return history;
  const known = knownSamples(history, sample);
  if (!known) return history;
  const oldestMs = sample.timeMs - windowMs;
  const firstKept = known.findIndex((old) => old.timeMs > oldestMs);
  const kept =
    firstKept === -1 ? [] : known.slice(Math.max(firstKept, known.length + 1 - maxSamplesPerProxy));
  const startMs = sample.timeMs - sample.intervalMs;
  const gap = startMs - history.latestMs > sample.intervalMs * gapIntervals;
  const byProxy = { ...history.byProxy, [sample.proxy]: [...kept, sample] };
  return {
    byProxy,
    // Never moved back: a second proxy with a slow clock does not lengthen what is known.
    sinceMs: history.sinceMs === undefined || gap ? startMs : history.sinceMs,
    latestMs: Math.max(...Object.values(byProxy).map((samples) => samples.at(-1)?.timeMs ?? 0)),
  };
}

/** The proxy's samples before this one; undefined when this one came out of order. */
function knownSamples(history: LoadHistory, sample: LoadSample): readonly LoadSample[] | undefined {
  if (!Object.hasOwn(history.byProxy, sample.proxy)) return [];
  const known = history.byProxy[sample.proxy] ?? [];
  const backMs = (known.at(-1)?.timeMs ?? 0) - sample.timeMs;
  if (backMs > sample.intervalMs * gapIntervals) return known.filter((old) => old.timeMs < sample.timeMs);
  return known.length > 0 && backMs >= 0 ? undefined : known;
}

/** Drops proxies that have been silent for longer than `goneMs`, or said good-bye. */
export function forgetProxies(history: LoadHistory, nowMs: number, goneMs: number): LoadHistory {
  const byProxy: Record<string, readonly LoadSample[]> = {};
  for (const [proxy, samples] of Object.entries(history.byProxy)) {
    const last = samples.at(-1);
    if (last && !(last.stopping && nowMs - last.timeMs > last.intervalMs) && nowMs - last.timeMs <= goneMs) {
      byProxy[proxy] = samples;
    }
  }
  return { ...history, byProxy };
}

export interface DemandSettings {
  readonly stableWindowMs: number;
  readonly burstWindowMs: number;
  /** How far back a peak is remembered (the break-even time). */
  readonly holdWindowMs: number;
  /** A proxy silent for longer counts with its last known demand. */
  readonly proxyLeaseMs: number;
  /** How far ahead capacity must be ordered (the setup time). */
  readonly horizonMs: number;
}

/** Rates in requests/s over all proxies. */
export interface Demand {
  readonly stableRps: number;
  readonly burstRps: number;
  /** What the next setup time may bring: level, spread and trend. */
  readonly forecastRps: number;
  /** The highest burst seen within the hold window. */
  readonly holdRps: number;
  readonly parked: number;
  readonly inFlight: number;
  /** Proxies heard of within their lease. 0: nothing is known. */
  readonly liveProxies: number;
  /** Proxies that owe a sample. */
  readonly missingProxies: number;
  readonly observedForMs: number;
}

/** Deviations above the level that the forecast covers. */
const spreadFactor = 2;

/** What the samples say of the demand now. Pure; `nowMs` is epoch milliseconds. */
export function demandOf(history: LoadHistory, settings: DemandSettings, nowMs: number): Demand {
  let liveProxies = 0;
  let missingProxies = 0;
  let parked = 0;
  let inFlight = 0;
  const shifted: LoadSample[] = [];
  for (const samples of Object.values(history.byProxy)) {
    const last = samples.at(-1);
    if (!last) continue;
    const silentMs = nowMs - last.timeMs;
    const isLive = silentMs <= settings.proxyLeaseMs;
    if (isLive) {
      liveProxies += 1;
      parked += last.parked;
      inFlight += last.inFlight;
    } else {
      missingProxies += 1;
    }
    // The clients of a silent proxy have not gone away with it: its last known demand goes on. And one whose clock
    // is ahead has measured now, not the future.
    const shiftMs = isLive ? Math.min(0, silentMs) : silentMs;
    for (const sample of samples) shifted.push({ ...sample, timeMs: sample.timeMs + shiftMs });
  }
  const observedForMs = history.sinceMs === undefined ? 0 : Math.max(0, nowMs - history.sinceMs);
  const bucketMs = settings.burstWindowMs;
  const windowMs = Math.max(settings.stableWindowMs, settings.holdWindowMs);
  const rates = bucketRates(shifted, bucketMs, Math.min(windowMs, Math.max(observedForMs, bucketMs)), nowMs);
  const stableBuckets = rates.slice(0, Math.max(1, Math.round(settings.stableWindowMs / bucketMs)));
  const stableRps = mean(stableBuckets);
  const burstRps = rates[0] ?? 0;
  const rising = Math.max(0, slopePerMs(stableBuckets, bucketMs)) * settings.horizonMs;
  const spread = spreadFactor * deviation(stableBuckets, stableRps);
  // A trend over a minute says little of the next four: it may at most double the level.
  const forecastRps = Math.max(burstRps, stableRps + spread + Math.min(rising, stableRps));
  const holdRps = Math.max(0, ...rates.slice(0, Math.max(1, Math.ceil(settings.holdWindowMs / bucketMs))));
  return {
    stableRps,
    burstRps,
    forecastRps,
    holdRps,
    parked,
    inFlight,
    liveProxies,
    missingProxies,
    observedForMs,
  };
}

/** Arrivals per second in buckets of `bucketMs` going back from now, the latest first. */
function bucketRates(
  samples: readonly LoadSample[],
  bucketMs: number,
  windowMs: number,
  nowMs: number,
): number[] {
  const arrivals = new Array<number>(Math.max(1, Math.ceil(windowMs / bucketMs))).fill(0);
  for (const sample of samples) {
    const ageMs = nowMs - sample.timeMs;
    spreadOver(arrivals, sample.arrivals, ageMs, ageMs + sample.intervalMs, bucketMs);
  }
  return arrivals.map((count) => (count * 1_000) / bucketMs);
}

/** Shares `count` out over the buckets that the ages `fromMs`..`toMs` touch. */
function spreadOver(buckets: number[], count: number, fromMs: number, toMs: number, bucketMs: number): void {
  if (count === 0) return;
  const last = Math.min(buckets.length - 1, Math.floor((toMs - 1e-6) / bucketMs));
  for (let index = Math.floor(fromMs / bucketMs); index <= last; index += 1) {
    const overlapMs = Math.min(toMs, (index + 1) * bucketMs) - Math.max(fromMs, index * bucketMs);
    buckets[index] = (buckets[index] ?? 0) + (count * overlapMs) / (toMs - fromMs);
  }
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[], around: number): number {
  return Math.sqrt(mean(values.map((value) => (value - around) ** 2)));
}

/** Least-squares slope per ms of values whose first is the latest. */
function slopePerMs(values: readonly number[], stepMs: number): number {
  const middle = (values.length - 1) / 2;
  const level = mean(values);
  let above = 0;
  let below = 0;
  values.forEach((value, age) => {
    above += (middle - age) * (value - level);
    below += (middle - age) ** 2;
  });
  return below === 0 ? 0 : above / below / stepMs;
}
