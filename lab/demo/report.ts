import { savedPercent } from '../../libs/domain/mod.ts';
import type { EventType } from '../../libs/events/mod.ts';
import type { LoadResult } from '../load/openLoop.ts';

/** What `--json` prints: the contract other programs read. */
export interface DemoReport {
  readonly requests: number;
  readonly failed: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly parked: number;
  readonly latencyMs: {
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
  };
  readonly energy: { readonly fleetWh: number; readonly alwaysOnWh: number; readonly savedPercent: number };
  readonly wakes: number;
  readonly sleeps: number;
  readonly events: number;
  readonly seconds: number;
  readonly servers: number;
  readonly seed: number;
}

export interface ReportInputs {
  readonly load: LoadResult;
  readonly parked: number;
  /** The rack's own integral over the run. */
  readonly energy: { readonly fleetWh: number; readonly alwaysOnWh: number };
  readonly counts: Readonly<Partial<Record<EventType, number>>>;
  readonly seconds: number;
  readonly servers: number;
  readonly seed: number;
}

/** Puts the report together. Pure. */
export function demoReport(inputs: ReportInputs): DemoReport {
  const { load, counts, energy } = inputs;
  return {
    requests: load.requests,
    failed: load.failed,
    causes: load.causes,
    parked: inputs.parked,
    latencyMs: load.latencyMs,
    energy: {
      fleetWh: round(energy.fleetWh, 3),
      alwaysOnWh: round(energy.alwaysOnWh, 3),
      savedPercent: round(savedPercent(energy.fleetWh, energy.alwaysOnWh), 1),
    },
    wakes: counts.WakeRequested ?? 0,
    sleeps: counts.SleepVerified ?? 0,
    events: Object.values(counts).reduce((sum, count) => sum + count, 0),
    seconds: inputs.seconds,
    servers: inputs.servers,
    seed: inputs.seed,
  };
}

/** The report for people. */
export function reportText(report: DemoReport): string {
  const { energy, latencyMs } = report;
  const lost =
    report.failed === 0 ? 'none lost' : `${report.failed} FAILED: ${JSON.stringify(report.causes)}`;
  return [
    `energy     ${energy.fleetWh} Wh used, ${energy.alwaysOnWh} Wh with every server on: ${energy.savedPercent} % saved`,
    `requests   ${report.requests}, ${lost}; ${report.parked} parked while a server woke`,
    `latency    p50 ${latencyMs.p50} ms, p95 ${latencyMs.p95} ms, p99 ${latencyMs.p99} ms, max ${latencyMs.max} ms`,
    `machines   ${report.servers} servers, ${report.wakes} wakes, ${report.sleeps} sleeps`,
    `history    ${report.events} events; seed ${report.seed}`,
  ].join('\n');
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
