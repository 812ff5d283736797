import type { EnergyModel } from '../events/mod.ts';

const msPerHour = 3_600_000;

/**
 * How long a server must stay asleep to repay the energy of its next wake, in ms. From the moment it sleeps until
 * it is ready again it draws `offWatts` and, for the setup time, `setupWatts`; kept on it would have drawn
 * `idleWatts` all along (the ski-rental bound of Lin et al. 2011 uses the same quantity).
 * Infinity when sleeping saves nothing.
 */
export function breakEvenMs(energy: EnergyModel, setupTimeMs: number = energy.setupTimeMs): number {
  const savedWatts = energy.idleWatts - energy.offWatts;
  if (savedWatts <= 0) return Number.POSITIVE_INFINITY;
  return Math.max(setupTimeMs, (setupTimeMs * (energy.setupWatts - energy.offWatts)) / savedWatts);
}

/** Watts of a server that is on, by the linear model. Utilization is cut to 0..1. */
export function modelledWatts(energy: EnergyModel, utilization: number): number {
  const share = Math.min(1, Math.max(0, utilization));
  return energy.idleWatts + (energy.busyWatts - energy.idleWatts) * share;
}

export interface MeterPoint {
  readonly timeMs: number;
  readonly powerWatts: number;
  readonly measured: boolean;
}

/** The running energy account of one server. */
export interface LedgerEntry {
  readonly last?: MeterPoint;
  readonly energyWh: number;
  /** The part of `energyWh` that rests on a model or bridges a gap. */
  readonly modelledWh: number;
  readonly gapMs: number;
}

export const emptyLedgerEntry: LedgerEntry = { energyWh: 0, modelledWh: 0, gapMs: 0 };

/**
 * Adds one meter reading: the trapezoid from the last one. A reading not after the last is ignored. Across a gap
 * longer than `maxGapMs` the higher of the two ends is taken, so that a silent meter never shows a saving, and the
 * energy counts as modelled.
 */
export function addReading(entry: LedgerEntry, point: MeterPoint, maxGapMs: number): LedgerEntry {
  const { last } = entry;
  if (!last) return { ...entry, last: point };
  const elapsedMs = point.timeMs - last.timeMs;
  if (elapsedMs <= 0) return entry;
  const isGap = elapsedMs > maxGapMs;
  const watts = isGap
    ? Math.max(last.powerWatts, point.powerWatts)
    : (last.powerWatts + point.powerWatts) / 2;
  const addedWh = (watts * elapsedMs) / msPerHour;
  const measured = !isGap && last.measured && point.measured;
  return {
    last: point,
    energyWh: entry.energyWh + addedWh,
    modelledWh: entry.modelledWh + (measured ? 0 : addedWh),
    gapMs: entry.gapMs + (isGap ? elapsedMs : 0),
  };
}

/** Watts the servers would draw if all were on and shared `demandRps` by capacity. */
export function alwaysOnWatts(
  servers: readonly { readonly energy: EnergyModel; readonly capacityRps: number }[],
  demandRps: number,
): number {
  const capacityRps = servers.reduce((sum, server) => sum + server.capacityRps, 0);
  const utilization = capacityRps > 0 ? demandRps / capacityRps : 0;
  return servers.reduce((sum, server) => sum + modelledWatts(server.energy, utilization), 0);
}

/** Share of energy saved in percent; 0 when there was nothing to save from. */
export function savedPercent(usedWh: number, alwaysOnWh: number): number {
  return alwaysOnWh > 0 ? (1 - usedWh / alwaysOnWh) * 100 : 0;
}
