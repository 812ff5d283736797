import { spreadFactor } from '../rack/random.ts';
import type { SimulatedLoad } from './load.ts';
import type { CountingPolicy, FleetFacts } from './policies/policy.ts';
import { createQueue } from './queue.ts';

export interface SimulationOptions {
  readonly load: SimulatedLoad;
  readonly facts: FleetFacts;
  /** Requests that arrive in each second of the load (`drawArrivals`). */
  readonly arrivals: Uint32Array;
  /** For what the world draws beside the arrivals: failed wakes, setup times. In [0, 1). */
  readonly random: () => number;
  readonly serviceSeconds: number;
  /** Requests that may wait for capacity; more are refused. */
  readonly maxWaiting: number;
  /** Share of wakes that come to nothing. */
  readonly wakeFailure: number;
  /** A setup takes `setupSeconds` times 1 ± this share, evenly spread. */
  readonly setupSpread: number;
}

export interface SimulationResult {
  readonly requests: number;
  readonly late: number;
  readonly refused: number;
  readonly energyWh: number;
  readonly wakes: number;
  readonly seconds: number;
}

const secondsPerHour = 3_600;
/** A wake that failed is noticed after so many setup times, draws setup power until then, and is tried anew. */
export const failureNoticedSetups = 1.5;

/** Watts of a server that is on, linear in its utilization. */
export function wattsOn(facts: FleetFacts, utilization: number): number {
  return facts.idleWatts + (facts.busyWatts - facts.idleWatts) * Math.min(1, Math.max(0, utilization));
}

/**
 * Runs a policy that thinks in numbers of equal servers: 1 s steps, every server on at the start, waking takes
 * `setupSeconds`, sleeping is immediate. Fewer wanted: first wakes are called off, then servers sleep.
 */
export function simulateCounting(policy: CountingPolicy, options: SimulationOptions): SimulationResult {
  const { load, facts, random } = options;
  const queue = createQueue({ ...options, latencyObjectiveSeconds: facts.latencyObjectiveSeconds });
  /** Seconds at which each wake ends, in order; a failed one never makes a server ready. */
  const wakes: { readonly endsAt: number; readonly fails: boolean }[] = [];
  let ready = facts.servers;
  let wakeCount = 0;
  let joules = 0;
  let requests = 0;
  let late = 0;
  let refused = 0;
  let arrivals = 0;
  for (let second = 0; second < load.seconds; second += 1) {
    while (wakes[0] && wakes[0].endsAt <= second) {
      if (!wakes.shift()?.fails) ready += 1;
    }
    const observation = { second, arrivals, waiting: queue.waiting, ready, waking: wakes.length };
    const target = Math.min(facts.servers, Math.max(0, Math.round(policy.decide(observation))));
    while (ready + wakes.length < target) {
      const fails = options.wakeFailure > 0 && random() < options.wakeFailure;
      const spread = options.setupSpread > 0 ? spreadFactor(random, options.setupSpread) : 1;
      const setup = facts.setupSeconds * (fails ? failureNoticedSetups : spread);
      wakes.push({ endsAt: second + setup, fails });
      wakes.sort((a, b) => a.endsAt - b.endsAt);
      wakeCount += 1;
    }
    while (ready + wakes.length > target && wakes.length > 0) wakes.pop();
    ready = Math.min(ready, target);

    arrivals = options.arrivals[second] ?? 0;
    const capacity = ready * facts.capacityRps;
    const step = queue.step(arrivals, capacity);
    requests += arrivals;
    late += step.late;
    refused += step.refused;
    joules +=
      ready * wattsOn(facts, capacity > 0 ? step.served / capacity : 0) +
      wakes.length * facts.setupWatts +
      (facts.servers - ready - wakes.length) * facts.offWatts;
  }
  return {
    requests,
    late,
    refused,
    energyWh: joules / secondsPerHour,
    wakes: wakeCount,
    seconds: load.seconds,
  };
}
