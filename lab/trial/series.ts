import { seededRandom } from '../rack/random.ts';
import { type SimulatedLoad, scaleLoad } from '../simulation/load.ts';
import { durationSeconds, type Trace } from '../traces/trace.ts';

const daySeconds = 86_400;
/** A chapter takes at most so long on the clock where it is shorter than a day. */
const longestChapterSeconds = 600;

/** Seconds of the series from one checkpoint to the next: a day, or so many hours as fit ten minutes. */
export function chapterSecondsOf(speed: number): number {
  const fitting = [24, 12, 6, 4, 3, 2, 1].find((hours) => (hours * 3_600) / speed <= longestChapterSeconds);
  return (fitting ?? 1) * 3_600;
}

/** The part of the series that is replayed, from `firstDay` on. @throws Error when the series is shorter. */
export function partOf(trace: Trace, firstDay: number, days: number | undefined): Trace {
  const fromStep = Math.round((firstDay * daySeconds) / trace.stepSeconds);
  const steps = days === undefined ? trace.rates.length : Math.round((days * daySeconds) / trace.stepSeconds);
  const rates = trace.rates.slice(fromStep, fromStep + steps);
  if (rates.length < 2 || (days !== undefined && rates.length < steps)) {
    const has = (durationSeconds(trace) / daySeconds).toFixed(2);
    throw new Error(`--days and --first-day must lie within the series, which has ${has} days`);
  }
  return { stepSeconds: trace.stepSeconds, rates };
}

/**
 * The load of a trial. The 99.9th percentile of the whole series, not of the part, is scaled to the peak, so that a
 * part of it is the same load.
 */
export function trialLoad(
  trace: Trace,
  part: { readonly firstDay: number; readonly days: number | undefined },
  peakRps: number,
  capacityRps: number,
): SimulatedLoad {
  const whole = scaleLoad(trace, peakRps, capacityRps);
  const offset = part.firstDay * daySeconds;
  const { rates, stepSeconds } = partOf(trace, part.firstDay, part.days);
  const seconds = Math.round(rates.length * stepSeconds);
  return { seconds, cappedSeconds: whole.cappedSeconds, rate: (second) => whole.rate(offset + second) };
}

/**
 * When the requests of a part of the load are due, in seconds of the clock from its beginning. The site had `speed`
 * times as many requests in each second of the series: every `speed`-th of its Poisson arrivals is sent, so that the
 * replay is as noisy as the site was, and not √speed times more so.
 * @param random in [0, 1); the same draws give the same arrivals.
 */
export function* thinnedArrivals(
  load: SimulatedLoad,
  part: { readonly fromSecond: number; readonly toSecond: number; readonly speed: number },
  random: () => number,
): Generator<number> {
  const { fromSecond, toSecond, speed } = part;
  const stages = Math.max(1, Math.round(speed));
  const drawWork = () => {
    let sum = 0;
    for (let stage = 0; stage < stages; stage += 1) sum -= Math.log(1 - random());
    return sum / stages;
  };
  /** What is still to be gone through until the next arrival, in expected requests. */
  let left = drawWork();
  for (let second = fromSecond; second < toSecond; second += 1) {
    const perSecond = load.rate(second) / speed;
    let used = 0;
    while (perSecond > 0 && left <= perSecond * (1 - used)) {
      used += left / perSecond;
      yield (second - fromSecond + used) / speed;
      left = drawWork();
    }
    left -= perSecond * (1 - used);
  }
}

/** A stream of draws of its own for each chapter, so that a run that goes on there has the same arrivals. */
export function chapterRandom(seed: number, chapter: number): () => number {
  return seededRandom((seed * 7_919 + chapter * 104_729 + 1) % 2 ** 32);
}
