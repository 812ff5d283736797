import type { PolicyDefinition } from './policy.ts';
import { createSlidingMax, createSlidingMean } from './sliding.ts';

const tickSeconds = 2;

/**
 * Knative's pod autoscaler on requests/s: every 2 s the mean over the stable window decides; when the mean over the
 * panic window asks for `panicThreshold` times what is ready, it decides instead and nothing is scaled down until that
 * has been over for a stable window. Scaled down by at most `maxScaleDownRate` a tick, to the greatest of the last
 * `scaleDownDelaySeconds`. Never to zero: the first request would wait for a boot.
 */
export const kpa: PolicyDefinition = {
  name: 'kpa',
  source: 'knative/serving, pkg/autoscaler/scaling/autoscaler.go and config-autoscaler (1.x)',
  defaults: {
    stableWindowSeconds: 60,
    panicWindowSeconds: 6,
    panicThreshold: 2,
    targetUtilization: 0.7,
    maxScaleDownRate: 2,
    scaleDownDelaySeconds: 0,
  },
  grid: {
    stableWindowSeconds: [60, 300, 600],
    targetUtilization: [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    scaleDownDelaySeconds: [0, 300, 600, 1_200, 1_800, 2_700, 3_600],
  },
  create(facts, parameters) {
    const { panicThreshold = 2, targetUtilization = 0.7, maxScaleDownRate = 2 } = parameters;
    const { stableWindowSeconds = 60, panicWindowSeconds = 6, scaleDownDelaySeconds = 0 } = parameters;
    const perServer = facts.capacityRps * targetUtilization;
    const stable = createSlidingMean(stableWindowSeconds);
    const panic = createSlidingMean(panicWindowSeconds);
    const delayed = createSlidingMax(scaleDownDelaySeconds / tickSeconds);
    let target = facts.servers;
    let panicSecond: number | undefined;
    let panicTarget = 0;
    return {
      decide({ second, arrivals, ready }) {
        if (second === 0) return target;
        const stableRate = stable.push(arrivals);
        const panicRate = panic.push(arrivals);
        if (second % tickSeconds !== 0) return target;
        const floor = Math.floor(Math.max(1, ready) / maxScaleDownRate);
        const wantedStable = Math.max(floor, Math.ceil(stableRate / perServer));
        const wantedPanic = Math.max(floor, Math.ceil(panicRate / perServer));
        if (Math.ceil(panicRate / perServer) / Math.max(1, ready) >= panicThreshold) {
          if (panicSecond === undefined) panicTarget = 0;
          panicSecond = second;
        } else if (panicSecond !== undefined && second - panicSecond > stableWindowSeconds) {
          panicSecond = undefined;
        }
        let wanted = wantedStable;
        if (panicSecond !== undefined) {
          panicTarget = Math.max(panicTarget, wantedPanic, ready);
          wanted = panicTarget;
        }
        const held = delayed.push(wanted);
        target = Math.max(1, scaleDownDelaySeconds > 0 ? held : wanted);
        return target;
      },
    };
  },
};
