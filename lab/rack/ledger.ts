import { type MachineState, machineWatts } from './machine.ts';
import { curveWatts, type MachineModel } from './models.ts';

const msPerHour = 3_600_000;

/** One server over one interval: the state in force during it and the utilization last reported by its end. */
export interface LedgerPoint {
  readonly name: string;
  readonly model: MachineModel;
  readonly capacityRps: number;
  readonly state: MachineState;
  readonly utilization: number;
}

export interface ServerEnergy {
  readonly energyWh: number;
  /** What it would have used had the whole rack been on, under the same load. */
  readonly alwaysOnWh: number;
  /** Time it was not off. */
  readonly onMs: number;
}

/** True energy since `fromMs`, in Wh of the rack's own clock (a compressed rack: multiply by its time scale). */
export interface Ledger {
  readonly fromMs: number;
  readonly timeMs: number;
  readonly fleetWh: number;
  readonly alwaysOnWh: number;
  readonly perServer: Readonly<Record<string, ServerEnergy>>;
}

export function emptyLedger(nowMs: number): Ledger {
  return { fromMs: nowMs, timeMs: nowMs, fleetWh: 0, alwaysOnWh: 0, perServer: {} };
}

/**
 * Utilization of each server had all been on: the busy work of the moment, in requests/s of capacity, spread by
 * capacity over all servers. 0..1.
 */
export function alwaysOnUtilization(points: readonly LedgerPoint[]): number {
  const capacityRps = points.reduce((sum, point) => sum + point.capacityRps, 0);
  const busyRps = points.reduce((sum, point) => sum + point.utilization * point.capacityRps, 0);
  return capacityRps > 0 ? Math.min(1, busyRps / capacityRps) : 0;
}

/**
 * Step rule: the watts of `points` held over the whole interval since the last call. Called just before every state
 * change, so states are exact; a utilization is the mean of about the last 100 ms, so it lags by no more than that.
 */
export function advance(ledger: Ledger, nowMs: number, points: readonly LedgerPoint[]): Ledger {
  const elapsedMs = nowMs - ledger.timeMs;
  if (elapsedMs <= 0) return ledger;
  const hours = elapsedMs / msPerHour;
  const spread = alwaysOnUtilization(points);
  const perServer: Record<string, ServerEnergy> = {};
  let { fleetWh, alwaysOnWh } = ledger;
  for (const { name, model, state, utilization } of points) {
    const before = ledger.perServer[name] ?? { energyWh: 0, alwaysOnWh: 0, onMs: 0 };
    const usedWh = machineWatts(model, state, utilization) * hours;
    const wouldWh = curveWatts(model, spread) * hours;
    fleetWh += usedWh;
    alwaysOnWh += wouldWh;
    perServer[name] = {
      energyWh: before.energyWh + usedWh,
      alwaysOnWh: before.alwaysOnWh + wouldWh,
      onMs: before.onMs + (state.kind === 'off' ? 0 : elapsedMs),
    };
  }
  return { ...ledger, timeMs: nowMs, fleetWh, alwaysOnWh, perServer };
}
