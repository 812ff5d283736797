import type { Bounds, PowerMethod } from '../events/mod.ts';
import type { ServerView } from './fleet.ts';

/** So few samples say little of a high quantile: the worst of them is stretched. */
const fewSamples = 10;
/** A machine nobody has woken yet may be slower than its operator wrote. */
const untriedStretch = 1.5;
/** A repeated wake must not meet a machine that is merely slower than usual to say on. */
const confirmFactor = 2;

/**
 * The share-quantile (nearest rank) of what was measured, in the unit of the samples. With fewer than 10 samples the
 * worst, stretched by 1/n, so that one quick wake does not make the second look late.
 * @returns undefined without a sample.
 */
export function cautiousQuantile(samples: readonly number[], share: number): number | undefined {
  if (samples.length === 0) return undefined;
  const sorted = [...samples].sort((a, b) => a - b);
  const worst = sorted.at(-1) ?? 0;
  if (sorted.length < fewSamples) return worst * (1 + 1 / sorted.length);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? worst;
}

/** Until when, from the request on, a wake should have made its server ready by the server's own past; in ms. */
export function expectedReadyMs({ state, config }: ServerView, bounds: Bounds): number {
  const learned = cautiousQuantile(state.setupTimesMs, bounds.overdueQuantile);
  return learned ?? config.energy.setupTimeMs * untriedStretch;
}

/** Until when, from the request on, its hardware should say on; in ms. What the method is given until it is learned. */
export function expectedOnMs({ state }: ServerView, method: PowerMethod, bounds: Bounds): number {
  const learned = cautiousQuantile(state.powerOnTimesMs, bounds.overdueQuantile);
  return learned === undefined ? method.confirmTimeoutMs : Math.min(learned, method.confirmTimeoutMs);
}

/**
 * How long one rung of the ladder may take from its wake to ready, in ms: a multiple of the learned quantile, so that
 * a boot three times as slow as ever is still waited for, within what the config allows.
 */
export function rungTimeoutMs(server: ServerView, bounds: Bounds): number {
  const learned = expectedReadyMs(server, bounds) * bounds.rungTimeoutFactor;
  return Math.min(server.config.wakeTimeoutMs, Math.max(bounds.minRungTimeoutMs, learned));
}

/** From a wake that was taken until it may be sent again because the hardware still says off, in ms. */
export function confirmMs(server: ServerView, method: PowerMethod, bounds: Bounds): number {
  const learned = expectedOnMs(server, method, bounds) * confirmFactor;
  return Math.min(method.confirmTimeoutMs, Math.max(bounds.minConfirmMs, learned));
}
