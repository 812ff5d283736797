import type { PolicyDefinition } from './policy.ts';
import { createSlidingMax, createSlidingMean } from './sliding.ts';

/**
 * The constant-parameter rule: the greatest rate of the last `windowSeconds`, as means over `averageSeconds`, times
 * 1 + `headroom`. Published nowhere; tuned in hindsight it is what an operator could reach who knew the series.
 */
export const peakHold: PolicyDefinition = {
  name: 'peakHold',
  source: 'the best rule with constant parameters; our own yardstick',
  defaults: { windowSeconds: 1_800, headroom: 0.3, averageSeconds: 60 },
  grid: {
    windowSeconds: [20, 60, 300, 900, 1_800, 2_700, 3_600, 5_400, 7_200, 14_400],
    headroom: [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.3, 2, 3],
    averageSeconds: [5, 20, 60, 300],
  },
  create: (facts, { windowSeconds = 1_800, headroom = 0.3, averageSeconds = 60 }) => {
    const mean = createSlidingMean(averageSeconds);
    const greatest = createSlidingMax(windowSeconds);
    return {
      decide({ second, arrivals }) {
        if (second < averageSeconds) {
          if (second > 0) mean.push(arrivals);
          return facts.servers;
        }
        const peak = greatest.push(mean.push(arrivals));
        return Math.max(1, Math.ceil((peak * (1 + headroom)) / facts.capacityRps));
      },
    };
  },
};
