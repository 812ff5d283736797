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

/** What the proxies say of a pool now. Rates in requests/s over all of them. */
export interface Demand {
  readonly nowRps: number;
  readonly parked: number;
  readonly inFlight: number;
  /** Proxies heard of within their lease. 0: nothing is known. */
  readonly liveProxies: number;
  /** Proxies that owe a sample. */
  readonly missingProxies: number;
  readonly observedForMs: number;
}

/** What the samples of the last `windowMs` say of the demand now. Pure; `nowMs` is epoch milliseconds. */
export function demandOf(
  history: LoadHistory,
  windowMs: number,
  proxyLeaseMs: number,
  nowMs: number,
): Demand {
  let liveProxies = 0;
  let missingProxies = 0;
  let parked = 0;
  let inFlight = 0;
  for (const samples of Object.values(history.byProxy)) {
    const last = samples.at(-1);
    if (!last) continue;
    if (nowMs - last.timeMs > proxyLeaseMs) {
      missingProxies += 1;
      continue;
    }
    liveProxies += 1;
    parked += last.parked;
    inFlight += last.inFlight;
  }
  return {
    nowRps: rateBetween(history, nowMs - windowMs, nowMs, nowMs),
    parked,
    inFlight,
    liveProxies,
    missingProxies,
    observedForMs: history.sinceMs === undefined ? 0 : Math.max(0, nowMs - history.sinceMs),
  };
}

/**
 * The mean rate from `fromMs` to `toMs` (epoch ms) over all proxies, in requests/s. A proxy that fell silent within
 * or before that time counts with the rate it had last: its clients have not gone away with it. One whose clock is
 * ahead has measured up to `nowMs`, not the future.
 */
export function rateBetween(history: LoadHistory, fromMs: number, toMs: number, nowMs: number): number {
  let requests = 0;
  for (const samples of Object.values(history.byProxy)) {
    const aheadMs = Math.max(0, (samples.at(-1)?.timeMs ?? 0) - nowMs);
    requests += arrivalsBetween(samples, fromMs + aheadMs, toMs + aheadMs);
  }
  return (requests * 1_000) / Math.max(1, toMs - fromMs);
}

function arrivalsBetween(samples: readonly LoadSample[], fromMs: number, toMs: number): number {
  let arrivals = 0;
  let index = samples.length - 1;
  for (; index >= 0; index -= 1) {
    const sample = samples[index] as LoadSample;
    const overlapMs = Math.min(toMs, sample.timeMs) - Math.max(fromMs, sample.timeMs - sample.intervalMs);
    if (overlapMs > 0) arrivals += (sample.arrivals * overlapMs) / sample.intervalMs;
    if (sample.timeMs <= fromMs) break;
  }
  const last = samples.at(-1);
  // The sample of the moment has not come yet, which is no silence.
  const silentMs = last && !last.stopping ? toMs - Math.max(fromMs, last.timeMs) : 0;
  return silentMs > 0 && last ? arrivals + lastRatePerMs(samples, last) * silentMs : arrivals;
}

/** Over so many of its last sample intervals a proxy's rate is taken as what goes on. */
const lastIntervals = 10;

function lastRatePerMs(samples: readonly LoadSample[], last: LoadSample): number {
  let arrivals = 0;
  let spanMs = 0;
  for (let index = samples.length - 1; index >= 0 && spanMs < lastIntervals * last.intervalMs; index -= 1) {
    const sample = samples[index] as LoadSample;
    arrivals += sample.arrivals;
    spanMs += sample.intervalMs;
  }
  return spanMs > 0 ? arrivals / spanMs : 0;
}
