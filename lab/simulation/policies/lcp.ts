import type { FleetFacts, PolicyDefinition } from './policy.ts';

/**
 * Lazy capacity provisioning, online (no prediction, w = 0): the number of servers follows the slot's load only as far
 * as two optimisation problems over the past force it. Both minimise operating plus switching cost of all slots so
 * far; the one charges for switching on and gives the lower bound x_L, the other charges for switching off and gives
 * the upper bound x_U (equations 8 and 9, Algorithm 1). Solved step by step over all numbers of servers.
 *
 * Operating cost of a server at utilization u: e0 + e1 u + d1 u (1/(1-u) - d0)+, with d0 = 1.5 service times and e0, d1
 * in units of idle power. Two things differ from the paper's world, where a server is ready at once: the load of a slot
 * is known only when it is over, and the slot is a minute (theirs: ten), because 260 s of setup pass on top.
 */
export const lcp: PolicyDefinition = {
  name: 'lcp',
  source: 'Lin, Wierman, Andrew, Thereska, Dynamic right-sizing, IEEE INFOCOM 2011, section III',
  /** `beta`: switching cost in units of what this fleet's setup costs above being off. */
  defaults: { slotSeconds: 60, delayWeight: 1, beta: 1 },
  grid: {
    slotSeconds: [10, 60, 300],
    delayWeight: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    beta: [0.5, 1, 2, 4, 8, 16, 32],
  },
  create(facts, { slotSeconds = 60, delayWeight = 1, beta = 1 }) {
    const cost = operatingCost(facts, slotSeconds, delayWeight);
    const switching = beta * facts.setupSeconds * (facts.setupWatts - facts.offWatts);
    const lower = createProblem(facts.servers, switching, 0);
    const upper = createProblem(facts.servers, 0, switching);
    let arrived = 0;
    let target = facts.servers;
    return {
      decide({ second, arrivals }) {
        arrived += arrivals;
        if (second === 0 || second % slotSeconds !== 0) return target;
        const costs = cost(arrived / slotSeconds);
        arrived = 0;
        const [least] = lower(costs);
        const [, most] = upper(costs);
        target = Math.min(Math.max(target, least), Math.max(least, most));
        return target;
      },
    };
  },
};

const freeDelay = 1.5;

/** Joules of a slot at this rate for each number of servers on; Infinity where they can't carry it. */
function operatingCost(facts: FleetFacts, slotSeconds: number, delayWeight: number) {
  const costs = new Float64Array(facts.servers + 1);
  return (rate: number): Float64Array => {
    for (let on = 0; on <= facts.servers; on += 1) {
      // The whole fleet must stay possible, or a slot above its capacity would have no solution at all.
      const utilization = on > 0 ? rate / (on * facts.capacityRps) : rate > 0 ? 1 : 0;
      const used = on === facts.servers ? Math.min(0.999, utilization) : utilization;
      const delay = used < 1 ? used * Math.max(0, 1 / (1 - used) - freeDelay) : Number.POSITIVE_INFINITY;
      const energy =
        (facts.idleWatts - facts.offWatts) * on + (facts.busyWatts - facts.idleWatts) * used * on;
      const delayCost = delay > 0 ? delayWeight * facts.idleWatts * on * delay : 0;
      costs[on] = on === 0 && rate > 0 ? Number.POSITIVE_INFINITY : slotSeconds * (energy + delayCost);
    }
    return costs;
  };
}

/**
 * The least cost of all slots so far for each number of servers at the end, carried from slot to slot: switching on or
 * off between two slots costs so much per server. Starts with every server on.
 * @returns the smallest and the greatest number of servers among the optimal ends.
 */
function createProblem(servers: number, onCost: number, offCost: number) {
  const best = new Float64Array(servers + 1);
  for (let on = 0; on <= servers; on += 1) best[on] = (servers - on) * offCost;
  return (costs: Float64Array): readonly [number, number] => {
    for (let on = 1; on <= servers; on += 1) {
      best[on] = Math.min(best[on] ?? 0, (best[on - 1] ?? 0) + onCost);
    }
    for (let on = servers - 1; on >= 0; on -= 1) {
      best[on] = Math.min(best[on] ?? 0, (best[on + 1] ?? 0) + offCost);
    }
    let least = Number.POSITIVE_INFINITY;
    for (let on = 0; on <= servers; on += 1) {
      best[on] = (best[on] ?? 0) + (costs[on] ?? 0);
      least = Math.min(least, best[on] ?? least);
    }
    // Kept relative to the least, so that a fortnight of joules does not eat the digits.
    let smallest = servers;
    let greatest = 0;
    for (let on = 0; on <= servers; on += 1) {
      best[on] = (best[on] ?? 0) - least;
      if ((best[on] ?? 1) <= 1e-6) {
        smallest = Math.min(smallest, on);
        greatest = on;
      }
    }
    return [smallest, greatest];
  };
}
