import type { LoadResult } from '../load/openLoop.ts';
import type { PowerCommand } from '../rack/powerLog.ts';
import type { Accident } from './accidents.ts';
import type { Clients, Failure } from './clients.ts';
import type { WrongPowerAction } from './judge.ts';
import type { Absence } from './phases.ts';

export interface ChaosReport {
  readonly version: 1;
  readonly seed: number;
  readonly minutes: number;
  readonly requests: number;
  readonly failed: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly failures: readonly Failure[];
  /** In flight on a killed proxy, or on a killed server without a possible retry. */
  readonly unavoidable: Clients['unavoidable'];
  readonly wentElsewhere: number;
  /** Of an overloaded machine: failed while the client's own process stood still, and for how long it did at most. */
  readonly stalledClient: number;
  readonly longestStallMs: number;
  readonly latencyMs: LoadResult['latencyMs'];
  readonly wrongPowerActions: number;
  readonly wrong: readonly WrongPowerAction[];
  /** Commands that reached a machine, by type. */
  readonly powerCommands: Readonly<Record<string, number>>;
  readonly divergence: number;
  readonly diverged: readonly string[];
  /** Accidents by kind: how many, until all was as before, and how long what the target is there for was not done. */
  readonly recovery: Readonly<Record<string, Recovery>>;
  readonly unrecovered: readonly Accident[];
  readonly absences: readonly Absence[];
}

export interface Recovery {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly maxMs: number | null;
  readonly outageP50Ms: number;
  readonly outageMaxMs: number;
}

export interface Findings {
  readonly seed: number;
  readonly minutes: number;
  readonly load: LoadResult;
  readonly clients: Pick<
    Clients,
    'failures' | 'unavoidable' | 'wentElsewhere' | 'stalledClient' | 'longestStallMs'
  >;
  readonly commands: readonly PowerCommand[];
  readonly wrong: readonly WrongPowerAction[];
  readonly diverged: readonly string[];
  readonly accidents: readonly Accident[];
  readonly absences: readonly Absence[];
}

/** Pure. */
export function chaosReport(findings: Findings): ChaosReport {
  const { seed, minutes, load, clients, commands, wrong, diverged, accidents, absences } = findings;
  const powerCommands: Record<string, number> = {};
  for (const { resetType } of commands) powerCommands[resetType] = (powerCommands[resetType] ?? 0) + 1;
  const { requests, failed, causes, latencyMs } = load;
  return {
    version: 1,
    seed,
    minutes,
    requests,
    failed,
    causes,
    failures: clients.failures,
    unavoidable: clients.unavoidable,
    wentElsewhere: clients.wentElsewhere,
    stalledClient: clients.stalledClient,
    longestStallMs: clients.longestStallMs,
    latencyMs,
    wrongPowerActions: wrong.length,
    wrong,
    powerCommands,
    divergence: diverged.length,
    diverged,
    recovery: recoveryOf(accidents),
    unrecovered: accidents.filter(({ recoveredMs }) => recoveredMs === null),
    absences,
  };
}

function recoveryOf(accidents: readonly Accident[]): ChaosReport['recovery'] {
  const kinds = [...new Set(accidents.map(({ kind }) => kind))].sort();
  return Object.fromEntries(
    kinds.map((kind) => {
      const own = accidents.filter((accident) => accident.kind === kind);
      const times = own.flatMap(({ recoveredMs }) => recoveredMs ?? []);
      const outages = own.map(({ outageMs }) => outageMs);
      const recovery: Recovery = {
        count: own.length,
        p50Ms: medianOf(times) ?? null,
        maxMs: times.length > 0 ? Math.max(...times) : null,
        outageP50Ms: medianOf(outages) ?? 0,
        outageMaxMs: Math.max(...outages),
      };
      return [kind, recovery];
    }),
  );
}

function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}

/** What must hold and does not, in words; none: all is well. Pure. */
export function brokenMusts(report: ChaosReport): readonly string[] {
  const { requests, failed, causes, wrong, diverged, unrecovered, absences } = report;
  const broken: string[] = [];
  if (requests === 0) broken.push('no request was sent');
  if (failed > 0) broken.push(`${failed} requests failed: ${JSON.stringify(causes)}`);
  for (const { server, rule, what } of wrong)
    broken.push(`wrong power action on ${server}, ${rule}: ${what}`);
  broken.push(...diverged.map((what) => `diverged: ${what}`));
  for (const { kind, target } of unrecovered) broken.push(`not recovered: ${kind} of ${target}`);
  for (const { gone, recoveredMs, servingAtEnd, floor } of absences) {
    if (recoveredMs === null) broken.push(`not recovered from the absence of ${gone}`);
    if (servingAtEnd < floor) broken.push(`${servingAtEnd} servers served without ${gone}, floor ${floor}`);
  }
  return broken;
}

/** For the terminal. */
export function reportText(report: ChaosReport): string {
  const { unavoidable, latencyMs, recovery, absences } = report;
  return [
    `${report.requests} requests, ${report.failed} failed; unavoidable: ${unavoidable.killedProxy} on a killed proxy, ` +
      `${unavoidable.killedServer} on a killed server; p99 ${Math.round(latencyMs.p99)} ms`,
    `${report.wrongPowerActions} wrong power actions of ${JSON.stringify(report.powerCommands)}`,
    `${report.divergence} divergences at rest`,
    ...Object.entries(recovery).map(
      ([kind, { count, p50Ms, maxMs, outageMaxMs }]) =>
        `${kind.padEnd(16)}${count} times, recovered in ${p50Ms} ms, at most ${maxMs} ms; out for at most ${outageMaxMs} ms`,
    ),
    ...absences.map(
      ({ gone, seconds, servingAtEnd, recoveredMs }) =>
        `no ${gone} for ${seconds} s: ${servingAtEnd} servers served at its end, all well ${recoveredMs} ms after`,
    ),
    ...brokenMusts(report).map((what) => `BROKEN  ${what}`),
  ].join('\n');
}
