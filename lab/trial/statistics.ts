/** 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom; beyond, that of the normal distribution. */
const t975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const z975 = 1.96;

export interface Interval {
  readonly mean: number;
  /** Half the width of the 95 % confidence interval; null with fewer than two values. */
  readonly halfWidth: number | null;
  readonly values: readonly number[];
}

/** Mean with a 95 % confidence interval by Student's t. */
export function intervalOf(values: readonly number[]): Interval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, count);
  if (count < 2) return { mean, halfWidth: null, values };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const t = t975[count - 2] ?? z975;
  return { mean, halfWidth: t * Math.sqrt(variance / count), values };
}

export type Verdict = 'flat' | 'grows' | 'too short';

export interface Trend {
  /** Median of the first and of the last fifth of the looked-at time. */
  readonly from: number;
  readonly to: number;
  readonly verdict: Verdict;
}

const leastSamples = 10;
/** What a process takes until it is warm is no leak. */
const warmUpShare = 0.3;
/** Below this relative growth, or this much in the figure's own unit, over the looked-at time nothing grows. */
const allowedGrowth = 0.25;

/**
 * Whether a figure grows over a run: the medians of the first and last fifth of its last 70 %, and (so that a single
 * step is not taken for a trend) the slope of a straight line through all of it.
 * @param allowed absolute growth that is nothing, in the unit of the samples.
 */
export function trendOf(samples: readonly number[], allowed: number): Trend {
  const looked = samples.slice(Math.floor(samples.length * warmUpShare));
  if (looked.length < leastSamples)
    return { from: looked[0] ?? 0, to: looked.at(-1) ?? 0, verdict: 'too short' };
  const fifth = Math.max(1, Math.floor(looked.length / 5));
  const from = median(looked.slice(0, fifth));
  const to = median(looked.slice(-fifth));
  const grown = to - from;
  const sloped = slopeOf(looked) * looked.length;
  const limit = Math.max(allowed, allowedGrowth * from);
  return { from, to, verdict: grown > limit && sloped > limit / 2 ? 'grows' : 'flat' };
}

function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let product = 0;
  let square = 0;
  for (const [index, value] of values.entries()) {
    product += (index - middle) * (value - mean);
    square += (index - middle) ** 2;
  }
  return square > 0 ? product / square : 0;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** So many digits behind the point. */
export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
