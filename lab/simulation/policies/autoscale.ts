import type { PolicyDefinition } from './policy.ts';

/** Requests at once at which a server of the test bed is full: its capacity in requests/s, at the objective. */
const fullAt = 10;

/**
 * DELAYEDOFF with index packing: load fills the servers in order, each up to `packing` requests at once, so the last
 * ones fall idle; a server idle for `waitSeconds` is switched off. Load beyond the servers that are on or coming wakes
 * the next ones at once; a setup, once begun, is not called off, and its server's idle time starts when it is ready.
 */
export const autoscale: PolicyDefinition = {
  name: 'autoscale',
  source: 'Gandhi et al., AutoScale, ACM TOCS 30(4), 2012, sections 3.5 and 4 (t_wait 120 s, p = 10)',
  defaults: { waitSeconds: 120, packing: 10 },
  grid: {
    waitSeconds: [20, 60, 120, 260, 600, 1_200, 1_800, 2_700, 3_600, 7_200],
    packing: [2, 3, 4, 5, 6, 7, 8, 9, 10],
  },
  create: (facts, { waitSeconds = 120, packing = fullAt }) => {
    const perServer = (facts.capacityRps * Math.min(fullAt, packing)) / fullAt;
    const lastBusySecond = new Float64Array(facts.servers + 1);
    let target = facts.servers;
    return {
      decide({ second, arrivals, waiting, ready }) {
        const busy = Math.min(facts.servers, Math.max(1, Math.ceil((arrivals + waiting) / perServer)));
        for (let server = 1; server <= target; server += 1) {
          if (server <= busy || server > ready) lastBusySecond[server] = second;
        }
        if (busy > target) {
          lastBusySecond.fill(second, target + 1, busy + 1);
          target = busy;
        }
        while (target > busy && second - (lastBusySecond[target] ?? second) >= waitSeconds) target -= 1;
        return target;
      },
    };
  },
};
