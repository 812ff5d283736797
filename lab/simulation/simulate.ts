import type { FleetConfig } from '../../libs/events/mod.ts';
import { type SimulationResult, simulateCounting } from './counting.ts';
import { simulateNemuri } from './nemuri.ts';
import { clairvoyantPlan } from './policies/optimal.ts';
import type { CountingPolicy, FleetFacts } from './policies/policy.ts';
import { rivals } from './rivals.ts';
import type { World } from './world.ts';

/** Microseconds that a decision took. */
export interface DecideMicros {
  readonly p50: number;
  readonly p99: number;
}

/** To hundredths; the clock knows no more. */
export function roundedMicros({ p50, p99 }: DecideMicros): DecideMicros {
  return { p50: Number(p50.toFixed(2)), p99: Number(p99.toFixed(2)) };
}

export type TimedResult = SimulationResult & { readonly decideMicros: DecideMicros };

/** The policies that are no rivals: the planner, and what nobody can have. */
const clairvoyants = ['optimal', 'zeroSetupOptimal'];
export const policyNames = ['nemuri', ...clairvoyants, ...Object.keys(rivals)];

export interface PolicyChoice {
  readonly policy: string;
  /** Over the published ones. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly spare: number;
  readonly risk: number | undefined;
  readonly config: FleetConfig | undefined;
}

/** Runs a policy by name in this world. @throws Error when there is no such policy, or it has no such parameter. */
export async function simulatePolicy(world: World, choice: PolicyChoice): Promise<TimedResult> {
  const { policy, spare, risk, config } = choice;
  if (policy === 'nemuri') {
    refuseParameters(choice, []);
    return simulateNemuri({
      ...world.simulation(),
      spare,
      ...(risk === undefined ? {} : { risk }),
      ...(config === undefined ? {} : { config }),
    });
  }
  if (config) throw new Error(`--config: policy ${policy} knows equal servers only; use --policy nemuri`);
  if (clairvoyants.includes(policy)) {
    refuseParameters(choice, []);
    return clairvoyantResult(world, policy === 'optimal' ? world.facts.setupSeconds : 0);
  }
  const definition = rivals[policy];
  if (!definition) throw new Error(`--policy must be one of ${policyNames.join(', ')} (got "${policy}")`);
  refuseParameters(choice, Object.keys(definition.defaults));
  return simulateRival(world, policy, choice.parameters, spare);
}

/** @throws Error when there is no such rival. */
export function simulateRival(
  world: World,
  name: string,
  parameters: Readonly<Record<string, number>>,
  spare = 0,
): TimedResult {
  const definition = rivals[name];
  if (!definition) throw new Error(`no policy ${name}`);
  const told = { ...definition.defaults, ...parameters };
  // It knows the peak; everyone else has to find out.
  const known = told.peakRps === 0 ? { peakRps: peakOf(world) } : {};
  const policy = definition.create(world.facts, { ...told, ...known });
  const timed = timedPolicy(withSpare(policy, spare, world.facts));
  return { ...simulateCounting(timed.policy, world.simulation()), decideMicros: timed.micros() };
}

function refuseParameters({ policy, parameters }: PolicyChoice, known: readonly string[]): void {
  const unknown = Object.keys(parameters).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const have = known.length > 0 ? `it has ${known.join(', ')}` : 'it has none';
  throw new Error(`--policy-param: ${policy} has no parameter ${unknown}; ${have}`);
}

function clairvoyantResult(world: World, setupSeconds: number): TimedResult {
  const { energyWh, wakes } = clairvoyantPlan(world.load, { ...world.facts, setupSeconds });
  const requests = world.arrivals.reduce((sum, count) => sum + count, 0);
  const seconds = world.load.seconds;
  return { requests, late: 0, refused: 0, energyWh, wakes, seconds, decideMicros: { p50: 0, p99: 0 } };
}

function peakOf({ load }: World): number {
  let peakRps = 0;
  for (let second = 0; second < load.seconds; second += 1) peakRps = Math.max(peakRps, load.rate(second));
  return peakRps;
}

function withSpare(policy: CountingPolicy, spare: number, facts: FleetFacts): CountingPolicy {
  if (spare === 0) return policy;
  return { decide: (observation) => Math.min(facts.servers, policy.decide(observation) + spare) };
}

/** Reading the clock costs more than most of these decisions, so one in so many is timed. */
const timedEvery = 97;

function timedPolicy(policy: CountingPolicy) {
  const micros: number[] = [];
  const timed: CountingPolicy = {
    decide(observation) {
      if (observation.second % timedEvery !== 0) return policy.decide(observation);
      const startMs = performance.now();
      const target = policy.decide(observation);
      micros.push((performance.now() - startMs) * 1_000);
      return target;
    },
  };
  const quantile = (share: number) =>
    micros[Math.min(micros.length - 1, Math.floor(share * micros.length))] ?? 0;
  return {
    policy: timed,
    micros(): DecideMicros {
      micros.sort((a, b) => a - b);
      return { p50: quantile(0.5), p99: quantile(0.99) };
    },
  };
}
