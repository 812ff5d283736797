import type { PolicyDefinition } from './policy.ts';

/**
 * As many servers as the rate of the last sample window needs, plus a margin. As published: sampled every 20 s, no
 * margin, no hysteresis, no cool-down; the last three are what operators add to such a threshold rule: it sleeps
 * servers only when those that stay would be used below `downUtilization`, and not within `coolDownSeconds` of the
 * last time it wanted more.
 */
export const reactive: PolicyDefinition = {
  name: 'reactive',
  source: 'Gandhi et al., AutoScale, ACM TOCS 30(4), 2012, section 3.2 (Reactive, with extra capacity)',
  defaults: { sampleSeconds: 20, margin: 0, downUtilization: 1, coolDownSeconds: 0 },
  grid: {
    sampleSeconds: [5, 20, 60],
    margin: [0.1, 0.2, 0.4, 0.6, 0.8, 1.1, 1.5, 2, 3],
    downUtilization: [1, 0.7],
    coolDownSeconds: [0, 300, 900, 1_800, 3_600],
  },
  create: (facts, { sampleSeconds = 20, margin = 0, downUtilization = 1, coolDownSeconds = 0 }) => {
    let sampled = 0;
    let target = facts.servers;
    let lastUpSecond = 0;
    return {
      decide({ second, arrivals }) {
        sampled += arrivals;
        if (second === 0 || second % sampleSeconds !== 0) return target;
        const rate = sampled / sampleSeconds;
        sampled = 0;
        const needed = Math.max(1, Math.ceil((rate * (1 + margin)) / facts.capacityRps));
        if (needed >= target) {
          if (needed > target) lastUpSecond = second;
          target = needed;
        } else if (second - lastUpSecond >= coolDownSeconds) {
          const safe = Math.ceil((rate * (1 + margin)) / (facts.capacityRps * downUtilization));
          target = Math.min(target, Math.max(needed, safe));
        }
        return target;
      },
    };
  },
};
