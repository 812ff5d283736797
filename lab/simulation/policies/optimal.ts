import type { SimulatedLoad } from '../load.ts';
import type { FleetFacts } from './policy.ts';

/** What the clairvoyant does. */
export interface ClairvoyantPlan {
  readonly energyWh: number;
  readonly wakes: number;
  /** For each second the servers that are on or being set up. */
  readonly awake: Uint16Array;
}

const secondsPerHour = 3_600;
/** Below this share of a server, a need is rounding. */
const tolerance = 1e-9;

/**
 * The clairvoyant bound: knows the rate of every second. Server layer k is on whenever ceil(rate / capacity) ≥ k; a gap
 * between two such times is slept through when that takes less energy than idling, the setup included, and ends in
 * time; after the last, it sleeps. Every server is on at the start. Never late, as far as the mean rate goes.
 * With `setupSeconds` 0 it is what perfectly elastic servers would need. The least possible as long as setup draws at
 * least idle power; below that, relieving one server by another could be cheaper still.
 */
export function clairvoyantPlan(load: SimulatedLoad, facts: FleetFacts): ClairvoyantPlan {
  const setup = Math.ceil(facts.setupSeconds);
  const awake = new Uint16Array(load.seconds);
  /** For each layer the second since which it is not needed. */
  const idleSince = new Float64Array(facts.servers);
  let joules = 0;
  let wakes = 0;
  let before = 0;
  for (let second = 0; second < load.seconds; second += 1) {
    const rate = load.rate(second);
    const needed = Math.min(facts.servers, Math.max(0, Math.ceil(rate / facts.capacityRps - tolerance)));
    awake[second] = needed;
    joules +=
      needed * facts.idleWatts +
      (facts.busyWatts - facts.idleWatts) * Math.min(facts.servers, rate / facts.capacityRps);
    for (let layer = needed; layer < before; layer += 1) idleSince[layer] = second;
    for (let layer = before; layer < needed; layer += 1) {
      const since = idleSince[layer] ?? 0;
      const gap = second - since;
      const asleep = (gap - setup) * facts.offWatts + setup * facts.setupWatts;
      const sleeps = gap > 0 && gap >= setup && asleep < gap * facts.idleWatts;
      joules += sleeps ? asleep : gap * facts.idleWatts;
      if (sleeps) wakes += 1;
      for (let on = sleeps ? second - setup : since; on < second; on += 1) awake[on] = (awake[on] ?? 0) + 1;
    }
    before = needed;
  }
  for (let layer = 0; layer < facts.servers; layer += 1) {
    if (layer >= before) joules += (load.seconds - (idleSince[layer] ?? 0)) * facts.offWatts;
  }
  return { energyWh: joules / secondsPerHour, wakes, awake };
}

/** What a fleet that knows only the highest rate and stays on for it takes, in Wh; the rest of it is asleep. */
export function alwaysOnEnergyWh(load: SimulatedLoad, facts: FleetFacts): number {
  let peakRps = 0;
  let utilization = 0;
  for (let second = 0; second < load.seconds; second += 1) {
    peakRps = Math.max(peakRps, load.rate(second));
    utilization += load.rate(second) / facts.capacityRps;
  }
  const on = Math.min(facts.servers, Math.ceil(peakRps / facts.capacityRps - tolerance));
  const watts = on * facts.idleWatts + (facts.servers - on) * facts.offWatts;
  return (load.seconds * watts + (facts.busyWatts - facts.idleWatts) * utilization) / secondsPerHour;
}
