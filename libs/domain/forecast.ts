import { createErrorTail, type ErrorTail } from './tail.ts';

/**
 * What the load may be when a server that is woken now has become ready. Several simple experts look one setup time
 * ahead: levels over windows from seconds to most of an hour, each with its trend, and the shape of earlier periods
 * (half-hours, hours, days, weeks). Each learns the tail of its own errors; each is trusted as far as its upper
 * quantile has lately been right (pinball loss, Koenker and Bassett 1978). The result is not one figure but the rate
 * that is exceeded with a given probability.
 */
export interface Forecast {
  readonly stepMs: number;
  readonly horizonMs: number;
  /** Takes the mean rate (requests/s) of the step that has just ended. */
  feed(rps: number): void;
  /**
   * What an earlier step was, known too coarsely to judge anybody by: it only teaches the shapes; null is unknown.
   */
  remember(rps: number | null): void;
  /** Nothing is known of `steps` steps: open forecasts are dropped, what was learned stays. */
  skip(steps: number): void;
  /** The rate that is exceeded, a setup time from now, with this probability. 0 before the first step. */
  upperRps(probability: number): number;
  /** The level that the trusted experts see, in requests/s. */
  readonly levelRps: number;
  /** Which expert is trusted how far; shares add up to 1. For the curious and for `explain`. */
  weights(): readonly { readonly expert: string; readonly share: number }[];
}

/** The grid of a forecast for a setup time: the step is a tenth of it, from 1 s (or `leastStepMs`) to 10 s. */
export function forecastStepMs(horizonMs: number, leastStepMs = 1_000): number {
  return Math.max(leastStepMs, Math.min(10_000, Math.round(horizonMs / 10_000) * 1_000));
}

const longestWindowMs = 3_000_000;
const shortestWindowMs = 2_000;
/** How much of a trend over its own window an expert carries on over the setup time. */
const trendShare = { shortest: 0.8, short: 0.7, long: 0.5 };
/** The quantile by which experts are compared: far enough up to show a bad tail, near enough to be seen often. */
const comparedProbability = 0.01;
const comparedOverMs = 86_400_000;
/** Trust falls to 1/e when an expert's loss is this share above the best one's. */
const trustWidth = 0.1;
const scaleMs = 7_200_000;
const shapeMs = 604_800_000;

const periods = [
  { name: 'half-hours', periodMs: 1_800_000, back: 6, peak: true },
  { name: 'hours', periodMs: 3_600_000, back: 6, peak: true },
  { name: 'days', periodMs: 86_400_000, back: 3, peak: false },
  { name: 'weeks', periodMs: 604_800_000, back: 1, peak: false },
] as const;
const periodReachMs = 7 * 86_400_000 + 3_600_000;
/** What an expert predicts never falls below this share of the level it stands on. */
const leastShareOfLevel = 0.3;

interface Open {
  readonly means: Float64Array;
  readonly scales: Float64Array;
  readonly compared: Float64Array;
}

interface Expert {
  readonly name: string;
  readonly tail: ErrorTail;
  loss: number;
  judged: number;
  /** Before so many judgements it has no say, unless it is the first. */
  readonly judgementsNeeded: number;
}

/** @param horizonMs the setup time that capacity must be ordered ahead; @param leastStepMs the finest step there is. */
export function createForecast(horizonMs: number, leastStepMs = 1_000): Forecast {
  const stepMs = forecastStepMs(horizonMs, leastStepMs);
  const ahead = Math.max(1, Math.round((horizonMs + stepMs) / stepMs));
  const levels = createLevels(stepMs, horizonMs);
  const shapes = createShapes(stepMs, ahead, levels);
  const warmUp = Math.ceil(Math.min(900_000, 3.5 * horizonMs) / stepMs);
  const names = [...levels.names, ...periods.map(({ name }) => `shape of ${name}`)];
  const experts = names.map((name, index): Expert => {
    const tail = createErrorTail({ stepMs, scaleMs, shapeMs });
    const needed = index < levels.names.length ? warmUp : Math.max(warmUp, 720);
    return { name, tail, loss: 0, judged: 0, judgementsNeeded: index === 0 ? 0 : needed };
  });
  const lossGain = 1 - Math.exp(-stepMs / comparedOverMs);
  const open: (Open | undefined)[] = new Array(ahead).fill(undefined);
  const shares = new Float64Array(experts.length);
  let now: Open | undefined;
  let steps = 0;

  const judge = (rps: number, past: Open) => {
    const base = (past.means[0] ?? 0) + 20;
    for (const [index, expert] of experts.entries()) {
      const mean = past.means[index] ?? Number.NaN;
      if (Number.isNaN(mean)) continue;
      const miss = rps - (past.compared[index] ?? 0);
      const pinball = miss > 0 ? (1 - comparedProbability) * miss : -comparedProbability * miss;
      expert.judged += 1;
      expert.loss += Math.max(lossGain, 1 / expert.judged) * (pinball / base - expert.loss);
      expert.tail.add(rps, mean, past.scales[index] ?? 1);
    }
  };
  const predict = (): Open => {
    const means = Float64Array.from([...levels.predict(horizonMs, steps), ...shapes.predict()]);
    const scales = means.map((mean, index) => experts[index]?.tail.scaleAt(mean) ?? 1);
    const compared = means.map(
      (mean, index) =>
        mean + (scales[index] ?? 0) * (experts[index]?.tail.quantile(comparedProbability) ?? 0),
    );
    return { means, scales, compared };
  };
  const trust = (means: Float64Array) => {
    const speaks = (expert: Expert, index: number) =>
      expert.judged >= expert.judgementsNeeded && !Number.isNaN(means[index] ?? Number.NaN);
    const best = Math.min(...experts.filter(speaks).map(({ loss }) => loss));
    let sum = 0;
    for (const [index, expert] of experts.entries()) {
      const share = speaks(expert, index)
        ? Math.exp(-(expert.loss - best) / ((best + 1e-6) * trustWidth))
        : 0;
      shares[index] = share;
      sum += share;
    }
    for (let index = 0; index < shares.length; index += 1) shares[index] = (shares[index] ?? 0) / sum;
  };
  /** A weighted mean over the experts that have a say. */
  const blend = (value: (index: number) => number): number => {
    let sum = 0;
    for (let index = 0; index < shares.length; index += 1) {
      const share = shares[index] ?? 0;
      if (share > 0) sum += share * value(index);
    }
    return sum;
  };

  return {
    stepMs,
    horizonMs,
    feed(rps) {
      const slot = steps % ahead;
      levels.feed(rps, steps);
      shapes.feed(rps);
      const past = open[slot];
      if (past) judge(rps, past);
      now = predict();
      open[slot] = now;
      trust(now.means);
      steps += 1;
    },
    remember(rps) {
      if (rps === null) return shapes.skip(1);
      levels.feed(rps, steps);
      shapes.feed(rps);
      steps += 1;
    },
    skip(count) {
      open.fill(undefined);
      shapes.skip(count);
    },
    upperRps(probability) {
      const held = now;
      if (!held) return 0;
      return blend(
        (index) =>
          (held.means[index] ?? 0) +
          (held.scales[index] ?? 0) * (experts[index]?.tail.quantile(probability) ?? 0),
      );
    },
    get levelRps() {
      const held = now;
      return held ? blend((index) => held.means[index] ?? 0) : 0;
    },
    weights: () => experts.map(({ name }, index) => ({ expert: name, share: shares[index] ?? 0 })),
  };
}

interface Levels {
  readonly names: readonly string[];
  feed(rps: number, steps: number): void;
  /** Each level carried on by its trend; the longest window first. */
  predict(horizonMs: number, steps: number): number[];
  /** The level over the window nearest to this one. */
  over(windowMs: number): number;
}

/** Exponentially weighted levels over windows that double from an eighth of the setup time to most of an hour. */
function createLevels(stepMs: number, horizonMs: number): Levels {
  const windows: number[] = [];
  for (let ms = Math.max(shortestWindowMs, horizonMs / 8); ms < longestWindowMs; ms *= 2) windows.push(ms);
  const gains = windows.map((ms) => 1 - Math.exp(-stepMs / ms));
  const levels = new Float64Array(windows.length);
  const order = windows.map((_, index) => windows.length - 1 - index);
  const predictOne = (index: number, steps: number, horizon: number): number => {
    const fast = index >= 2 ? index - 2 : 0;
    const slow = index === 0 ? Math.min(1, windows.length - 1) : index;
    const share = index >= 2 ? trendShare.long : index === 1 ? trendShare.short : trendShare.shortest;
    const level = levels[index] ?? 0;
    const spanMs = (windows[slow] ?? 1) - (windows[fast] ?? 0);
    const known = Math.min(1, (steps * stepMs) / (windows[slow] ?? 1));
    const slope = spanMs > 0 ? ((levels[fast] ?? 0) - (levels[slow] ?? 0)) / spanMs : 0;
    return Math.max(level * leastShareOfLevel, level + share * known * slope * horizon);
  };
  return {
    names: order.map((index) => `level over ${Math.round((windows[index] ?? 0) / 1_000)} s`),
    feed(rps, steps) {
      for (let index = 0; index < levels.length; index += 1) {
        const gain = Math.max(gains[index] ?? 1, 1 / (steps + 1));
        levels[index] = (levels[index] ?? 0) + gain * (rps - (levels[index] ?? 0));
      }
    },
    predict: (horizon, steps) => order.map((index) => predictOne(index, steps, horizon)),
    over(windowMs) {
      const index = windows.findIndex((ms) => ms >= windowMs);
      return levels[index === -1 ? levels.length - 1 : index] ?? 0;
    },
  };
}

interface Shapes {
  feed(rps: number): void;
  skip(steps: number): void;
  /** One prediction for each of `periods`; NaN while it has not been through one. */
  predict(): number[];
}

/**
 * What earlier periods did from this phase on: how far the rate one setup time later was from the level known at the
 * phase of now. For short periods the highest such deviation from now to then counts: a job that runs each half-hour
 * is over before the forecast point has passed it, and its servers must stay until it is.
 */
function createShapes(stepMs: number, ahead: number, levels: Levels): Shapes {
  const size = Math.ceil(periodReachMs / stepMs);
  const smooth = new Float64Array(size);
  const sharp = new Float64Array(size);
  const slow = new Float64Array(size);
  const lag = Math.round(300_000 / stepMs);
  const peaks = periods.map(() => createSlidingMax(ahead));
  let fed = 0;
  const at = (ring: Float64Array, step: number) => ring[((step % size) + size) % size] ?? 0;

  const deviation = (periodSteps: number, back: number, ring: Float64Array, offset: number): number => {
    let sum = 0;
    let seen = 0;
    for (let turn = 1; turn <= back; turn += 1) {
      const then = fed - 1 - turn * periodSteps;
      if (then < 0 || turn * periodSteps >= size) break;
      sum += at(ring, Math.min(fed - 1, then + ahead + offset)) - at(slow, then);
      seen += 1;
    }
    return seen === 0 ? Number.NaN : sum / seen;
  };
  return {
    feed(rps) {
      sharp[fed % size] = rps;
      smooth[fed % size] = levels.over(300_000);
      slow[fed % size] = levels.over(1_000_000);
      fed += 1;
    },
    skip(steps) {
      for (let step = 0; step < Math.min(steps, size); step += 1) {
        const before = at(slow, fed - 1);
        sharp[fed % size] = before;
        smooth[fed % size] = before;
        slow[fed % size] = before;
        fed += 1;
      }
    },
    predict: () =>
      periods.map(({ periodMs, back, peak }, index) => {
        const periodSteps = Math.round(periodMs / stepMs);
        if (fed <= periodSteps) return Number.NaN;
        const base = levels.over(1_000_000);
        const change = peak
          ? deviation(periodSteps, back, sharp, 0)
          : deviation(periodSteps, back, smooth, lag) + (at(slow, fed - 1) - base);
        const highest = peak ? (peaks[index]?.push(change) ?? change) : change;
        return Math.max(base * leastShareOfLevel, base + highest);
      }),
  };
}

/** The highest of the last `length` values pushed. */
function createSlidingMax(length: number) {
  const held: { readonly value: number; readonly step: number }[] = [];
  let step = 0;
  return {
    push(value: number): number {
      while (held.length > 0 && (held.at(-1)?.value ?? 0) <= value) held.pop();
      held.push({ value, step });
      if ((held[0]?.step ?? 0) <= step - length) held.shift();
      step += 1;
      return held[0]?.value ?? value;
    },
  };
}
