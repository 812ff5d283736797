/**
 * The upper tail of a forecast's error, learned as it goes: a histogram that slowly forgets, and above its 95th
 * percentile a generalized Pareto tail (Pickands 1975) fitted by the mean and variance of what exceeds it (Hosking and
 * Wallis 1987). Errors are measured in units of the forecast's own scale, which follows the last hours.
 */
export interface ErrorTail {
  /** Adds the error of a forecast `mean` that turned out as `actual`; `scale` is what `scaleAt` said at the time. */
  add(actual: number, mean: number, scale: number): void;
  /** The size of an ordinary error around a forecast of `mean`, in its unit. */
  scaleAt(mean: number): number;
  /** How many scales above the mean the outcome is with probability `probability` (below 0.05). */
  quantile(probability: number): number;
}

/** Errors grow with the square root of the level, as counts do; the offset keeps a silent night from a scale of 0. */
const levelOffset = 10;
/** What is assumed before anything was seen, an error four times that of pure chance, and how many errors it is worth. */
const firstVariance = 16;
const assumedErrors = 8;
const leastVariance = 0.3;
const binWidth = 0.05;
const bins = 800;
/** The bin of error 0. */
const zeroBin = 200;
const tailShare = 0.05;
/** Until so many errors are known, the tail is that of a slightly heavy-tailed normal distribution. */
const errorsForTail = 360;
const firstTail = { threshold: 1.65, spread: 0.6, shape: 0, share: tailShare };
const leastSpread = 0.15;
/** A heavier shape than this is taken for chance; a lighter one is not relied on. */
const shapeRange = { least: 0, most: 0.2 };
/** The tail is fitted anew after so many errors: it moves slowly and costs a walk over the histogram. */
const refitEvery = 30;
const rescaleAbove = 1e12;

export interface ErrorTailOptions {
  readonly stepMs: number;
  /** Time in which the scale follows. */
  readonly scaleMs: number;
  /** Time in which the shape of the tail is forgotten. */
  readonly shapeMs: number;
}

export function createErrorTail({ stepMs, scaleMs, shapeMs }: ErrorTailOptions): ErrorTail {
  const histogram = new Float64Array(bins);
  const growth = Math.exp(stepMs / shapeMs);
  const scaleGain = 1 - Math.exp(-stepMs / scaleMs);
  let weight = 1;
  let total = 0;
  let count = 0;
  let variance = firstVariance;
  let tail = firstTail;

  const rescale = () => {
    for (let bin = 0; bin < bins; bin += 1) histogram[bin] = (histogram[bin] ?? 0) / weight;
    total /= weight;
    weight = 1;
  };
  const refit = () => {
    let above = 0;
    let moment = 0;
    let square = 0;
    let bin = bins - 1;
    for (; bin > 0; bin -= 1) {
      const held = histogram[bin] ?? 0;
      if (above + held > tailShare * total) break;
      const error = (bin - zeroBin + 0.5) * binWidth;
      above += held;
      moment += held * error;
      square += held * error * error;
    }
    const threshold = (bin + 1 - zeroBin) * binWidth;
    if (above <= 0) return;
    const excess = moment / above - threshold;
    const spreadSquared = square / above - (moment / above) ** 2;
    const fitted = spreadSquared > 0 ? (1 - excess ** 2 / spreadSquared) / 2 : 0;
    const shape = Math.min(shapeRange.most, Math.max(shapeRange.least, fitted));
    tail = { threshold, spread: Math.max(leastSpread, excess * (1 - shape)), shape, share: above / total };
  };

  return {
    add(actual, mean, scale) {
      count += 1;
      const error = (actual - mean) / Math.sqrt(mean + levelOffset);
      variance += Math.max(scaleGain, 1 / (count + assumedErrors)) * (error * error - variance);
      variance = Math.max(leastVariance, variance);
      weight *= growth;
      total += weight;
      const bin = Math.floor((actual - mean) / scale / binWidth) + zeroBin;
      const within = Math.min(bins - 1, Math.max(0, bin));
      histogram[within] = (histogram[within] ?? 0) + weight;
      if (weight > rescaleAbove) rescale();
      if (count >= errorsForTail && count % refitEvery === 0) refit();
    },
    scaleAt: (mean) => Math.sqrt(variance * (mean + levelOffset)),
    quantile(probability) {
      const { threshold, spread, shape, share } = tail;
      const times = share / Math.max(1e-9, probability);
      return threshold + spread * (shape < 1e-3 ? Math.log(times) : (times ** shape - 1) / shape);
    },
  };
}
