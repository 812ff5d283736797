import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultModel, machineModels } from '../rack/models.ts';
import { serverSpecs } from '../rack/options.ts';
import type { SimulatedLoad } from '../simulation/load.ts';
import type { FleetFacts } from '../simulation/policies/policy.ts';
import { readTrace } from '../traces/trace.ts';
import { readChapters } from './chapter.ts';
import type { Conditions } from './conditions.ts';
import { type Optimum, optimumOf } from './optimum.ts';
import { type ArmName, armNames } from './options.ts';
import { type ArmResult, armResult } from './result.ts';
import { type Parameters, readRunFile } from './run.ts';
import { trialLoad } from './series.ts';
import { latencyObjectiveMs, trialRack } from './settings.ts';
import { type Interval, intervalOf } from './statistics.ts';

/** Watts of a busy core above an idle one: the model's machine has eight of them. */
const coresOfModel = 8;

export interface RunResult {
  readonly parameters: Parameters;
  readonly conditions: readonly Conditions[];
  readonly arms: Readonly<Partial<Record<ArmName, ArmResult>>>;
  readonly optimum: Omit<Optimum, 'awake'>;
  /** Seconds of the series that every arm has behind it; the optimum is that of these. */
  readonly seconds: number;
  readonly savings: Savings | undefined;
}

/** Against the always-on arm, in percent; the control plane's own energy counts as used. */
export interface Savings {
  readonly nemuri: number | undefined;
  readonly reactive: number | undefined;
  readonly optimum: number;
  /** Nemuri's saving as a share of the optimum's, in percent. */
  readonly ofOptimum: number | undefined;
}

export interface TrialReport {
  readonly version: 1;
  readonly runs: readonly RunResult[];
  /** Over the seeds of the runs without faults; undefined while there is none. */
  readonly savedPercent: Interval | undefined;
  readonly savedOfOptimumPercent: Interval | undefined;
  readonly latencyObjectiveMs: number;
  readonly wattsPerCore: number;
  readonly checks: readonly Check[];
}

export interface Check {
  readonly run: string;
  readonly rule: string;
  readonly value: number;
  readonly holds: boolean;
}

export function wattsPerCore(): number {
  const { busyWatts, idleWatts } = machineModels[defaultModel];
  return (busyWatts - idleWatts) / coresOfModel;
}

/** The machines and the load of a run, as every arm had them. */
export async function worldOf(
  parameters: Parameters,
): Promise<{ readonly load: SimulatedLoad; readonly facts: FleetFacts; readonly busyAtCapacity: number }> {
  const specs = serverSpecs(trialRack(parameters));
  const [first] = specs;
  if (!first) throw new Error('a rack needs a server');
  const capacityRps = specs.reduce((sum, spec) => sum + spec.capacityRps, 0);
  const part = { firstDay: parameters.firstDay, days: parameters.seconds / 86_400 };
  const trace = await readTrace(parameters.trace);
  const load = trialLoad(trace, part, capacityRps * parameters.peakShare, capacityRps);
  const model = first.machineModel;
  const facts: FleetFacts = {
    servers: specs.length,
    capacityRps: first.capacityRps,
    setupSeconds: parameters.setupSeconds,
    idleWatts: model.idleWatts,
    busyWatts: model.busyWatts,
    setupWatts: model.setupWatts,
    offWatts: model.offWatts,
    latencyObjectiveSeconds: latencyObjectiveMs / 1_000,
  };
  const busyAtCapacity = (first.capacityRps * first.serviceTimeMs) / 1_000 / first.workers;
  return { load, facts, busyAtCapacity };
}

/** Every run below `out`, put together. @throws Error when there is none. */
export async function readReport(out: string): Promise<{ report: TrialReport; optima: readonly Optimum[] }> {
  const folders = (await readdir(out).catch(() => [])).filter((name) => name.startsWith('seed-')).sort();
  const runs: RunResult[] = [];
  const optima: Optimum[] = [];
  for (const name of folders) {
    const found = await readRun(join(out, name));
    if (!found) continue;
    runs.push(found.run);
    optima.push(found.optimum);
  }
  if (runs.length === 0) throw new Error(`${out} holds no run with a finished chapter`);
  return { report: reportOf(runs), optima };
}

async function readRun(folder: string): Promise<{ run: RunResult; optimum: Optimum } | undefined> {
  const file = await readRunFile(folder);
  if (!file) return undefined;
  const chapters = await Promise.all(
    armNames.map(async (arm) => ({ arm, chapters: await readChapters(join(folder, arm)) })),
  );
  const present = chapters.filter((one) => one.chapters.length > 0);
  if (present.length === 0) return undefined;
  // Compared is what all of them have.
  const common = Math.min(...present.map((one) => one.chapters.length));
  const watts = wattsPerCore();
  const arms = Object.fromEntries(
    present.map((one) => [one.arm, armResult(one.chapters.slice(0, common), file.parameters.speed, watts)]),
  ) as Partial<Record<ArmName, ArmResult>>;
  const seconds = present[0]?.chapters[common - 1]?.toSecond ?? 0;
  const { load, facts, busyAtCapacity } = await worldOf(file.parameters);
  const optimum = optimumOf({ ...load, seconds }, facts, machineModels[defaultModel], busyAtCapacity);
  const { awake: _awake, ...figures } = optimum;
  const run: RunResult = {
    parameters: file.parameters,
    conditions: [file.conditions, ...file.later],
    arms,
    optimum: figures,
    seconds,
    savings: savingsOf(arms, optimum),
  };
  return { run, optimum };
}

export function savingsOf(
  arms: Readonly<Partial<Record<ArmName, ArmResult>>>,
  optimum: Pick<Optimum, 'energyWh'>,
): Savings | undefined {
  const baseWh = arms.alwaysOn?.trueWh;
  if (!baseWh) return undefined;
  const saved = (arm: ArmResult | undefined) => arm && (1 - (arm.trueWh + arm.controlWh) / baseWh) * 100;
  const nemuri = saved(arms.nemuri);
  const best = (1 - optimum.energyWh / baseWh) * 100;
  return {
    nemuri,
    reactive: saved(arms.reactive),
    optimum: best,
    ofOptimum: nemuri === undefined || best <= 0 ? undefined : (nemuri / best) * 100,
  };
}

/** What a run must show; those of Nemuri's arm. */
const limits = { latePercent: 0.1, latePercentUnlearned: 0.5, ofOptimumPercent: 85, ledgerPercent: 1 };
/** A planner that begins without memory is not judged by a series that gives it none. */
const secondsToLearn = { late: 86_400, optimum: 7 * 86_400 };

function checksOf({ parameters, arms, savings, seconds }: RunResult): Check[] {
  const run = runName(parameters);
  const { nemuri } = arms;
  if (!nemuri) return [];
  const latePercent = (nemuri.late / Math.max(1, nemuri.requests)) * 100;
  const lateLimit = seconds < secondsToLearn.late ? limits.latePercentUnlearned : limits.latePercent;
  const checks: Check[] = [
    { run, rule: 'failed = 0', value: nemuri.failed, holds: nemuri.failed === 0 },
    {
      run,
      rule: `late ≤ ${lateLimit} %`,
      value: latePercent,
      holds: latePercent <= lateLimit,
    },
  ];
  for (const arm of Object.values(arms)) {
    const value = arm.ledgerErrorPercent;
    checks.push({
      run,
      rule: `ledger of ${arm.arm} within ${limits.ledgerPercent} %`,
      value,
      holds: Math.abs(value) <= limits.ledgerPercent,
    });
  }
  if (savings?.ofOptimum !== undefined && seconds >= secondsToLearn.optimum) {
    const value = savings.ofOptimum;
    checks.push({
      run,
      rule: `saves ≥ ${limits.ofOptimumPercent} % of what the optimum saves`,
      value,
      holds: value >= limits.ofOptimumPercent,
    });
  }
  const growing = nemuri.leaks.filter(({ verdict }) => verdict === 'grows');
  checks.push({ run, rule: 'nothing grows', value: growing.length, holds: growing.length === 0 });
  return checks;
}

export function runName({ seed, faults }: Pick<Parameters, 'seed' | 'faults'>): string {
  return `seed ${seed}${faults ? ', with faults' : ''}`;
}

/** Pure. */
export function reportOf(runs: readonly RunResult[]): TrialReport {
  const plain = runs.filter(({ parameters }) => !parameters.faults);
  const known = (values: (number | undefined)[]) => values.filter((value) => value !== undefined);
  const saved = known(plain.map(({ savings }) => savings?.nemuri));
  const ofOptimum = known(plain.map(({ savings }) => savings?.ofOptimum));
  return {
    version: 1,
    runs,
    savedPercent: saved.length > 0 ? intervalOf(saved) : undefined,
    savedOfOptimumPercent: ofOptimum.length > 0 ? intervalOf(ofOptimum) : undefined,
    latencyObjectiveMs,
    wattsPerCore: wattsPerCore(),
    checks: runs.flatMap(checksOf),
  };
}

/** For the terminal. */
export function reportText({ runs, savedPercent, checks }: TrialReport): string {
  const lines = runs.flatMap(({ parameters, arms, optimum, savings, seconds }) => [
    `${runName(parameters)}: ${(seconds / 86_400).toFixed(2)} of ${(parameters.seconds / 86_400).toFixed(2)} days at speed ${parameters.speed}`,
    ...Object.values(arms).map(
      (arm) =>
        `  ${arm.arm.padEnd(9)} ${(arm.trueWh / 1_000).toFixed(2)} kWh (ledger ${arm.ledgerErrorPercent.toFixed(2)} % off), ` +
        `${arm.requests} requests, ${arm.failed} failed, ${((arm.late / arm.requests) * 100).toFixed(3)} % late, ` +
        `${((arm.short / arm.requests) * 100).toFixed(2)} % short, ${arm.wakes} wakes, p99 ${arm.latencyMs.p99} ms, ` +
        `control plane ${arm.controlCores.toFixed(3)} cores`,
    ),
    `  optimum   ${(optimum.energyWh / 1_000).toFixed(2)} kWh, ${optimum.wakes} wakes`,
    savings
      ? `  saved     nemuri ${savings.nemuri?.toFixed(1)} %, reactive ${savings.reactive?.toFixed(1)} %, optimum ${savings.optimum.toFixed(1)} %: ${savings.ofOptimum?.toFixed(1)} % of the optimum's`
      : '  saved     nothing to compare with: the always-on arm is missing',
  ]);
  const broken = checks.filter(({ holds }) => !holds);
  if (savedPercent && savedPercent.halfWidth !== null)
    lines.push(`saved ${savedPercent.mean.toFixed(1)} ± ${savedPercent.halfWidth.toFixed(1)} % (95 %)`);
  lines.push(
    ...broken.map(({ run, rule, value }) => `DOES NOT HOLD  ${run}: ${rule} (is ${value.toFixed(3)})`),
  );
  if (broken.length === 0) lines.push(`all ${checks.length} checks hold`);
  return lines.join('\n');
}
