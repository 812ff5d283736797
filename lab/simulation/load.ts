import { rateAt, type Trace } from '../traces/trace.ts';
import { poisson } from './random.ts';

/** The load of a simulated run: a series scaled to the size of the fleet. Rates in requests/s. */
export interface SimulatedLoad {
  readonly seconds: number;
  /** The rate in second `second`, counted from 0; what exceeds the fleet's capacity is cut off. */
  rate(second: number): number;
  /** Seconds in which the series asked for more than the whole fleet could ever serve. */
  readonly cappedSeconds: number;
}

/** The quantile of the per-step rate that is scaled to the peak: a single freak step must not set the scale. */
const peakQuantile = 0.999;

/**
 * Scales a series so that its 99.9th percentile of the per-step rate is `peakRps`, linear between step centres.
 * Rates above `capacityRps`, that of the whole fleet, are cut to it and counted.
 */
export function scaleLoad(trace: Trace, peakRps: number, capacityRps: number): SimulatedLoad {
  const sorted = [...trace.rates].sort((a, b) => a - b);
  const peak = sorted[Math.min(sorted.length - 1, Math.floor(peakQuantile * sorted.length))] ?? 0;
  if (!(peak > 0)) throw new Error('the series has no load to scale');
  const factor = peakRps / peak;
  const seconds = Math.round(trace.rates.length * trace.stepSeconds);
  const rates = new Float64Array(seconds);
  let cappedSeconds = 0;
  for (let second = 0; second < seconds; second += 1) {
    const rate = rateAt(trace, second + 0.5) * factor;
    if (rate > capacityRps) cappedSeconds += 1;
    rates[second] = Math.min(rate, capacityRps);
  }
  return { seconds, cappedSeconds, rate: (second) => rates[second] ?? 0 };
}

/** The requests of a run: how many arrive in each second, and how many were cut off. */
export interface Arrivals {
  readonly perSecond: Uint32Array;
  readonly cappedRequests: number;
}

/**
 * Poisson arrivals around the rate, drawn before the run, so that every policy sees the same ones whatever else it
 * draws. What would exceed `capacityRps`, that of the whole fleet, in a second is cut off and counted: else the whole
 * fleet could not serve a capped load in time, and that would be counted against every policy.
 * @param random in [0, 1)
 */
export function drawArrivals(load: SimulatedLoad, capacityRps: number, random: () => number): Arrivals {
  const most = Math.floor(capacityRps);
  let cappedRequests = 0;
  const perSecond = Uint32Array.from({ length: load.seconds }, (_none, second) => {
    const drawn = poisson(load.rate(second), random);
    cappedRequests += Math.max(0, drawn - most);
    return Math.min(drawn, most);
  });
  return { perSecond, cappedRequests };
}
