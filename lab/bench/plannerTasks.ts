import { basename } from 'node:path';
import { rivals } from '../simulation/rivals.ts';
import { type DecideMicros, roundedMicros, simulatePolicy, simulateRival } from '../simulation/simulate.ts';
import {
  createWorld,
  type Figures,
  figuresOf,
  testBed,
  testBedPeakRps,
  type World,
} from '../simulation/world.ts';
import { dayOf, readTrace, type Trace } from '../traces/trace.ts';
import { frontierOf, type Parameters, type Setting, tuneInHindsight } from './hindsight.ts';

/** What the world of a task differs in from the test bed. */
export interface Conditions {
  readonly seed: number;
  readonly setupSeconds: number;
  readonly wakeFailure: number;
}

export type Task =
  | {
      readonly kind: 'policy';
      readonly trace: string;
      readonly conditions: Conditions;
      readonly policy: string;
      readonly risk?: number;
    }
  | {
      readonly kind: 'rival';
      readonly trace: string;
      readonly conditions: Conditions;
      readonly policy: string;
      /** The best setting in hindsight may be so late. */
      readonly lateness: number;
      /** 1: the whole grid. */
      readonly stride: number;
    }
  | {
      readonly kind: 'scale';
      readonly trace: string;
      readonly conditions: Conditions;
      readonly servers: number;
    };

export interface PolicyOutcome extends Figures {
  readonly decideMicros: DecideMicros;
  readonly simulatedSecondsPerSecond: number;
}

export interface RivalOutcome {
  readonly published: Setting;
  readonly best: Setting | undefined;
  readonly frontier: readonly Setting[];
  readonly runs: number;
}

/** What each kind of task gives. */
export interface Outcomes {
  readonly policy: PolicyOutcome;
  readonly rival: RivalOutcome;
  readonly scale: DecideMicros;
}

/** The parameters are those of the world, not of the policy, so worlds are shared by the tasks of one trace. */
const settingsOf = ({ seed, wakeFailure }: Conditions) => ({
  seed,
  wakeFailure,
  peakRps: testBedPeakRps,
  serviceSeconds: 0.1,
  maxParked: 1_000,
  setupSpread: 0,
});

let lastWorld: { readonly key: string; readonly world: World } | undefined;

async function worldOf(trace: string, conditions: Conditions): Promise<World> {
  const key = JSON.stringify([trace, conditions]);
  if (lastWorld?.key === key) return lastWorld.world;
  const facts = { ...testBed, setupSeconds: conditions.setupSeconds };
  const world = createWorld(await readTrace(trace), facts, settingsOf(conditions));
  lastWorld = { key, world };
  return world;
}

export async function runTask<T extends Task>(task: T): Promise<Outcomes[T['kind']]>;
export async function runTask(task: Task): Promise<Outcomes[Task['kind']]> {
  if (task.kind === 'scale') return runScale(task);
  const world = await worldOf(task.trace, task.conditions);
  if (task.kind === 'policy') return runPolicy(world, task.policy, task.risk);
  const definition = rivals[task.policy];
  if (!definition) throw new Error(`no policy ${task.policy}`);
  const run = (parameters: Parameters) => figuresOf(simulateRival(world, task.policy, parameters), world);
  const { published, best, settings } = tuneInHindsight(definition, run, task.lateness, task.stride);
  return { published, best, frontier: frontierOf(settings), runs: settings.length };
}

async function runPolicy(world: World, policy: string, risk: number | undefined): Promise<PolicyOutcome> {
  const startMs = performance.now();
  const choice = { policy, parameters: {}, spare: 0, risk, config: undefined };
  const result = await simulatePolicy(world, choice);
  const wallSeconds = (performance.now() - startMs) / 1_000;
  return {
    ...figuresOf(result, world),
    decideMicros: roundedMicros(result.decideMicros),
    simulatedSecondsPerSecond: Math.round(result.seconds / Math.max(wallSeconds, 1e-6)),
  };
}

/** A fleet of this size under half an hour of a working morning: 08:00 to 08:30 of the fifth day, 900 decisions. */
async function runScale(task: Task & { readonly kind: 'scale' }): Promise<DecideMicros> {
  const day = dayOf(await readTrace(task.trace), 4);
  const perHour = 3_600 / day.stepSeconds;
  const morning: Trace = { ...day, rates: day.rates.slice(8 * perHour, 8.5 * perHour) };
  const peakRps = (testBedPeakRps / testBed.servers) * task.servers;
  const settings = { ...settingsOf(task.conditions), peakRps };
  const world = createWorld(morning, { ...testBed, servers: task.servers }, settings);
  const choice = { policy: 'nemuri', parameters: {}, spare: 0, risk: undefined, config: undefined };
  return roundedMicros((await simulatePolicy(world, choice)).decideMicros);
}

export function traceName(file: string): string {
  return basename(file, '.csv');
}
