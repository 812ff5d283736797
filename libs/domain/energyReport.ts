import type { Costs, EventData } from '../events/mod.ts';
import { savedPercent } from './energy.ts';

export interface ServerEnergyReport {
  readonly energyKwh: number;
  /** Share of the energy that rests on a model or bridges a gap, 0..1. */
  readonly modelledShare: number;
  readonly gapMs: number;
  readonly coveredMs: number;
}

/** The energy ledger of some hours. Error bars are sums of what each part may be off: meters and models err one way. */
export interface EnergyReport extends ServerEnergyReport {
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
  /** The energy lies within ± so much. */
  readonly errorKwh: number;
  /** The same load with every server on, by the energy model. */
  readonly alwaysOnKwh: number;
  readonly savedKwh: number;
  readonly savedErrorKwh: number;
  readonly savedPercent: number;
  readonly requests: number;
  readonly joulesPerRequest: number | undefined;
  readonly currency: string;
  /** In `currency`; undefined without a configured price. */
  readonly cost: number | undefined;
  readonly savedCost: number | undefined;
  /** Kilograms; undefined without a configured factor. */
  readonly co2Kg: number | undefined;
  readonly savedCo2Kg: number | undefined;
  readonly servers: Readonly<Record<string, ServerEnergyReport>>;
}

type Hour = EventData<'EnergyAccounted'>;

/** Adds accounted hours, of any pools, up to one ledger in kWh with what it cost. */
export function energyReport(hours: readonly Hour[], costs: Costs): EnergyReport {
  const servers = new Map<string, Hour['servers'][string]>();
  for (const hour of hours) {
    for (const [name, energy] of Object.entries(hour.servers))
      servers.set(name, plus(servers.get(name), energy));
  }
  const total = [...servers.values()].reduce(plus, undefined) ?? plus(undefined, undefined);
  const alwaysOnWh = sum(hours.map((hour) => hour.alwaysOnWh));
  const requests = sum(hours.map((hour) => hour.requests));
  const whole = serverReport(total);
  const modelledKwh = total.modelledWh / 1_000;
  const errorKwh =
    ((whole.energyKwh - modelledKwh) * costs.meterErrorPercent + modelledKwh * costs.modelErrorPercent) / 100;
  const savedKwh = alwaysOnWh / 1_000 - whole.energyKwh;
  const times = (kwh: number, factor: number | undefined) =>
    factor === undefined ? undefined : kwh * factor;
  const kgPerKwh = costs.co2GramsPerKwh === undefined ? undefined : costs.co2GramsPerKwh / 1_000;
  return {
    ...whole,
    fromMs: hours.length > 0 ? Math.min(...hours.map(({ fromMs }) => fromMs)) : undefined,
    toMs: hours.length > 0 ? Math.max(...hours.map(({ toMs }) => toMs)) : undefined,
    errorKwh,
    alwaysOnKwh: alwaysOnWh / 1_000,
    savedKwh,
    savedErrorKwh: errorKwh + (alwaysOnWh / 1_000) * (costs.modelErrorPercent / 100),
    savedPercent: savedPercent(total.energyWh, alwaysOnWh),
    requests,
    joulesPerRequest: requests > 0 ? (total.energyWh * 3_600) / requests : undefined,
    currency: costs.currency,
    cost: times(whole.energyKwh, costs.pricePerKwh),
    savedCost: times(savedKwh, costs.pricePerKwh),
    co2Kg: times(whole.energyKwh, kgPerKwh),
    savedCo2Kg: times(savedKwh, kgPerKwh),
    servers: Object.fromEntries(
      [...servers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, energy]) => [name, serverReport(energy)]),
    ),
  };
}

function plus(
  a: Hour['servers'][string] | undefined,
  b: Hour['servers'][string] | undefined,
): Hour['servers'][string] {
  return {
    energyWh: (a?.energyWh ?? 0) + (b?.energyWh ?? 0),
    modelledWh: (a?.modelledWh ?? 0) + (b?.modelledWh ?? 0),
    gapMs: (a?.gapMs ?? 0) + (b?.gapMs ?? 0),
    coveredMs: (a?.coveredMs ?? 0) + (b?.coveredMs ?? 0),
  };
}

function serverReport({
  energyWh,
  modelledWh,
  gapMs,
  coveredMs,
}: Hour['servers'][string]): ServerEnergyReport {
  return {
    energyKwh: energyWh / 1_000,
    modelledShare: energyWh > 0 ? modelledWh / energyWh : 0,
    gapMs,
    coveredMs,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
