import { curveWatts, type MachineModel } from '../rack/models.ts';
import type { SimulatedLoad } from '../simulation/load.ts';
import { clairvoyantPlan } from '../simulation/policies/optimal.ts';
import type { FleetFacts } from '../simulation/policies/policy.ts';

export interface Optimum {
  /** In Wh of the series. */
  readonly energyWh: number;
  /** The same load with every server on, by the same model: where only a model says what the optimum takes. */
  readonly alwaysOnWh?: number;
  readonly wakes: number;
  /** Servers on or being set up, mean over steps of `stepSeconds`. */
  readonly awake: readonly number[];
  readonly stepSeconds: number;
}

const secondsPerHour = 3_600;
const stepSeconds = 600;

/** What a fleet of such servers takes with all of them on, by the straight line between idle and busy, in Wh. */
export function modelledAlwaysOnWh(load: SimulatedLoad, facts: FleetFacts): number {
  let joules = load.seconds * facts.servers * facts.idleWatts;
  for (let second = 0; second < load.seconds; second += 1)
    joules += ((facts.busyWatts - facts.idleWatts) * load.rate(second)) / facts.capacityRps;
  return joules / secondsPerHour;
}

/**
 * What a fleet that knew the rate of every second would have drawn: the clairvoyant plan of the simulation, its
 * machines' watts by the rack's own curve instead of a straight line. Equal servers share the work.
 * @param model left out: the straight line between idle and busy.
 * @param busyAtCapacity share of an origin's slots that work when it does what it sustains.
 */
export function optimumOf(
  load: SimulatedLoad,
  facts: FleetFacts,
  model: MachineModel | undefined,
  busyAtCapacity: number,
): Optimum {
  const plan = clairvoyantPlan(load, facts);
  let joules = plan.energyWh * secondsPerHour;
  const awake: number[] = [];
  let sum = 0;
  for (let second = 0; second < load.seconds; second += 1) {
    const share = load.rate(second) / facts.capacityRps;
    const serving = Math.ceil(share - 1e-9);
    if (serving > 0 && model) {
      const linear = serving * facts.idleWatts + (facts.busyWatts - facts.idleWatts) * share;
      joules += serving * curveWatts(model, (share / serving) * busyAtCapacity) - linear;
    }
    sum += plan.awake[second] ?? 0;
    if ((second + 1) % stepSeconds !== 0) continue;
    awake.push(sum / stepSeconds);
    sum = 0;
  }
  return { energyWh: joules / secondsPerHour, wakes: plan.wakes, awake, stepSeconds };
}
