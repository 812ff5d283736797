import { join } from 'node:path';
import { defaultModel, type MachineModel, machineModels } from '../rack/models.ts';
import { serverSpecs } from '../rack/options.ts';
import type { SimulatedLoad } from '../simulation/load.ts';
import type { FleetFacts } from '../simulation/policies/policy.ts';
import { readTrace } from '../traces/trace.ts';
import { readChapters } from './chapter.ts';
import type { Conditions } from './conditions.ts';
import { modelledAlwaysOnWh, type Optimum, optimumOf } from './optimum.ts';
import { type ArmName, armNames } from './options.ts';
import type { OwnParameters, OwnServer } from './ownPool.ts';
import { type ArmResult, armResult, kWhText, modelledPercent, usedWh } from './result.ts';
import { type Parameters, readRunFile, runFoldersOf } from './run.ts';
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
  /** On own machines: it lies within ± so many percent points, as far as the meters are concerned. */
  readonly nemuriError?: number;
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

interface World {
  readonly load: SimulatedLoad;
  readonly facts: FleetFacts;
  /** Undefined: nothing is known of them but idle and busy watts. */
  readonly model: MachineModel | undefined;
  readonly busyAtCapacity: number;
}

/** The machines and the load of a run, as every arm had them. */
export async function worldOf(parameters: Parameters): Promise<World> {
  if (parameters.own) return ownWorldOf(parameters, parameters.own);
  const specs = serverSpecs(trialRack(parameters));
  const [first] = specs;
  if (!first) throw new Error('a rack needs a server');
  const capacityRps = specs.reduce((sum, spec) => sum + spec.capacityRps, 0);
  const load = await loadOf(parameters, capacityRps);
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
  return { load, facts, model, busyAtCapacity };
}

async function loadOf(parameters: Parameters, capacityRps: number): Promise<SimulatedLoad> {
  const part = { firstDay: parameters.firstDay, days: parameters.seconds / 86_400 };
  const trace = await readTrace(parameters.trace);
  return trialLoad(trace, part, capacityRps * parameters.peakShare, capacityRps);
}

/** Own machines as the optimum's equal ones: means by what the configuration says. Their times are not divided. */
async function ownWorldOf(parameters: Parameters, own: OwnParameters): Promise<World> {
  const servers = Object.values(own.servers);
  const mean = (of: (server: OwnServer) => number) =>
    servers.reduce((sum, server) => sum + of(server), 0) / servers.length;
  const capacityRps = mean((server) => server.capacityRps);
  const facts: FleetFacts = {
    servers: servers.length,
    capacityRps,
    setupSeconds: (mean(({ energy }) => energy.setupTimeMs) * parameters.speed) / 1_000,
    idleWatts: mean(({ energy }) => energy.idleWatts),
    busyWatts: mean(({ energy }) => energy.busyWatts),
    setupWatts: mean(({ energy }) => energy.setupWatts),
    offWatts: mean(({ energy }) => energy.offWatts),
    latencyObjectiveSeconds: own.latencyObjectiveMs / 1_000,
  };
  const load = await loadOf(parameters, capacityRps * servers.length);
  return { load, facts, model: undefined, busyAtCapacity: 1 };
}

/** On own machines it and what it is compared with are both of the energy model, in Wh of the clock. */
function optimumIn({ load, facts, model, busyAtCapacity }: World, seconds: number, speed: number): Optimum {
  const part = { ...load, seconds };
  const optimum = optimumOf(part, facts, model, busyAtCapacity);
  if (model) return optimum;
  const alwaysOnWh = modelledAlwaysOnWh(part, facts) / speed;
  return { ...optimum, energyWh: optimum.energyWh / speed, alwaysOnWh };
}

/** Every run below `out`, put together. @throws Error when there is none. */
export async function readReport(out: string): Promise<{ report: TrialReport; optima: readonly Optimum[] }> {
  const folders = await runFoldersOf(out);
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
    present.map((one) => [
      one.arm,
      armResult(one.chapters.slice(0, common), file.parameters.speed, watts, file.parameters.own),
    ]),
  ) as Partial<Record<ArmName, ArmResult>>;
  const seconds = present[0]?.chapters[common - 1]?.toSecond ?? 0;
  const optimum = optimumIn(await worldOf(file.parameters), seconds, file.parameters.speed);
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
  optimum: Pick<Optimum, 'energyWh' | 'alwaysOnWh'>,
): Savings | undefined {
  const base = arms.alwaysOn;
  const baseWh = base && usedWh(base);
  if (!baseWh) return undefined;
  const saved = (arm: ArmResult | undefined) => arm && (1 - (usedWh(arm) + arm.controlWh) / baseWh) * 100;
  const nemuri = saved(arms.nemuri);
  const best = (1 - optimum.energyWh / (optimum.alwaysOnWh ?? baseWh)) * 100;
  return {
    nemuri,
    reactive: saved(arms.reactive),
    optimum: best,
    ofOptimum: nemuri === undefined || best <= 0 ? undefined : (nemuri / best) * 100,
    ...savedErrorOf(arms),
  };
}

/** As if the meters erred one way in the one arm and the other way in the other: they hardly do. */
function savedErrorOf({ alwaysOn, nemuri }: RunResult['arms']): Pick<Savings, 'nemuriError'> {
  if (alwaysOn?.errorWh === undefined || nemuri?.errorWh === undefined) return {};
  const baseWh = usedWh(alwaysOn);
  const errorWh = nemuri.errorWh + (usedWh(nemuri) / baseWh) * alwaysOn.errorWh;
  return { nemuriError: (errorWh / baseWh) * 100 };
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
    if (value === undefined) continue;
    checks.push({
      run,
      rule: `ledger of ${arm.arm} within ${limits.ledgerPercent} %`,
      value,
      holds: Math.abs(value) <= limits.ledgerPercent,
    });
  }
  if (!parameters.own && savings?.ofOptimum !== undefined && seconds >= secondsToLearn.optimum) {
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
    latencyObjectiveMs: runs[0]?.parameters.own?.latencyObjectiveMs ?? latencyObjectiveMs,
    wattsPerCore: wattsPerCore(),
    checks: runs.flatMap(checksOf),
  };
}

/** How well an arm's energy is known. */
function accuracyOf(arm: ArmResult): string {
  const { ledgerErrorPercent, errorWh = 0 } = arm;
  if (ledgerErrorPercent !== undefined) return `ledger ${ledgerErrorPercent.toFixed(2)} % off`;
  return `± ${kWhText(errorWh, arm)} by the ledger, ${modelledPercent(arm).toFixed(0)} % of it modelled`;
}

function plusMinus({ nemuriError }: Savings): string {
  return nemuriError === undefined ? '' : ` ± ${nemuriError.toFixed(1)}`;
}

/** For the terminal. */
export function reportText({ runs, savedPercent, checks }: TrialReport): string {
  const lines = runs.flatMap(({ parameters, arms, optimum, savings, seconds }) => [
    `${runName(parameters)}: ${(seconds / 86_400).toFixed(2)} of ${(parameters.seconds / 86_400).toFixed(2)} days at speed ${parameters.speed}`,
    ...Object.values(arms).map(
      (arm) =>
        `  ${arm.arm.padEnd(9)} ${kWhText(usedWh(arm), arm)} kWh (${accuracyOf(arm)}), ` +
        `${arm.requests} requests, ${arm.failed} failed, ${((arm.late / arm.requests) * 100).toFixed(3)} % late, ` +
        `${((arm.short / arm.requests) * 100).toFixed(2)} % short, ${arm.wakes} wakes, p99 ${arm.latencyMs.p99} ms, ` +
        `control plane ${arm.controlCores.toFixed(3)} cores`,
    ),
    ...(parameters.own
      ? []
      : [`  optimum   ${(optimum.energyWh / 1_000).toFixed(2)} kWh, ${optimum.wakes} wakes`]),
    savings
      ? `  saved     nemuri ${savings.nemuri?.toFixed(1)}${plusMinus(savings)} %, reactive ${savings.reactive?.toFixed(1)} %, optimum ${savings.optimum.toFixed(1)} %: ${savings.ofOptimum?.toFixed(1)} % of the optimum's`
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
