import type { EventData, FleetConfig } from '../events/mod.ts';
import { addReading, emptyLedgerEntry, type MeterPoint, modelledWatts } from './energy.ts';

export const hourMs = 3_600_000;

export type ServerEnergy = EventData<'EnergyAccounted'>['servers'][string];

interface Hour {
  readonly servers: Readonly<Record<string, ServerEnergy>>;
  readonly requests: number;
}

/** The running energy account of one pool: whole UTC hours by their beginning in epoch ms. JSON all through. */
export interface EnergyAccount {
  /** What lies before is accounted for already, and ignored here. */
  readonly closedToMs: number;
  readonly last: Readonly<Record<string, MeterPoint>>;
  readonly hours: Readonly<Record<number, Hour>>;
}

export function openAccount(closedToMs: number): EnergyAccount {
  return { closedToMs, last: {}, hours: {} };
}

const emptyHour: Hour = { servers: {}, requests: 0 };
const nothing: ServerEnergy = { energyWh: 0, modelledWh: 0, gapMs: 0, coveredMs: 0 };

function hourOf(timeMs: number): number {
  return Math.floor(timeMs / hourMs) * hourMs;
}

/**
 * Adds one meter reading: the energy since the server's last one, by the rule of `addReading`, parted where hours (or
 * `closedToMs`) part it, by the straight line between the two readings. A reading not after the last is ignored.
 */
export function addMeterReading(
  account: EnergyAccount,
  server: string,
  point: MeterPoint,
  maxGapMs: number,
): EnergyAccount {
  const from = account.last[server];
  if (from && point.timeMs <= from.timeMs) return account;
  const last = { ...account.last, [server]: point };
  if (!from || point.timeMs <= account.closedToMs) return { ...account, last };
  const lengthMs = point.timeMs - from.timeMs;
  const isGap = lengthMs > maxGapMs;
  const highest = Math.max(from.powerWatts, point.powerWatts);
  const at = (timeMs: number): MeterPoint => ({
    timeMs,
    powerWatts: isGap
      ? highest
      : from.powerWatts + ((point.powerWatts - from.powerWatts) * (timeMs - from.timeMs)) / lengthMs,
    measured: from.measured && point.measured,
  });
  const hours: Record<number, Hour> = { ...account.hours };
  let beginMs = Math.max(from.timeMs, account.closedToMs);
  while (beginMs < point.timeMs) {
    const hour = hourOf(beginMs);
    const endMs = Math.min(point.timeMs, hour + hourMs);
    const entry = { ...emptyLedgerEntry, last: at(beginMs) };
    const added = addReading(entry, at(endMs), isGap ? 0 : Number.POSITIVE_INFINITY);
    const known = hours[hour] ?? emptyHour;
    const before = known.servers[server] ?? nothing;
    const after = {
      energyWh: before.energyWh + added.energyWh,
      modelledWh: before.modelledWh + added.modelledWh,
      gapMs: before.gapMs + added.gapMs,
      coveredMs: before.coveredMs + endMs - beginMs,
    };
    hours[hour] = { ...known, servers: { ...known.servers, [server]: after } };
    beginMs = endMs;
  }
  return { ...account, last, hours };
}

/** Adds the requests that a proxy completed in the interval up to `timeMs`. */
export function addRequests(account: EnergyAccount, timeMs: number, completed: number): EnergyAccount {
  if (timeMs <= account.closedToMs || completed === 0) return account;
  // An interval that ends with the hour belongs to it.
  const hour = hourOf(timeMs - 1);
  const known = account.hours[hour] ?? emptyHour;
  return {
    ...account,
    hours: { ...account.hours, [hour]: { ...known, requests: known.requests + completed } },
  };
}

/** Everything before `closedToMs` is forgotten. */
export function closeAccount(account: EnergyAccount, closedToMs: number): EnergyAccount {
  if (closedToMs <= account.closedToMs) return account;
  const open = Object.entries(account.hours).filter(([hour]) => Number(hour) >= closedToMs);
  return { ...account, closedToMs, hours: Object.fromEntries(open) };
}

/**
 * The hours of the account as facts, oldest first: all that end by `untilMs`, or, with `untilMs` left out, all there
 * are, the last one up to where its readings reach.
 */
export function accountedHours(
  account: EnergyAccount,
  pool: string,
  config: FleetConfig,
  untilMs?: number,
): EventData<'EnergyAccounted'>[] {
  return Object.entries(account.hours)
    .map(([hour, entry]) => ({ hour: Number(hour), entry }))
    .filter(({ hour }) => untilMs === undefined || hour + hourMs <= untilMs)
    .sort((a, b) => a.hour - b.hour)
    .map(({ hour, entry }) => ({
      pool,
      fromMs: Math.max(hour, account.closedToMs),
      toMs: hour + hourMs,
      servers: entry.servers,
      requests: entry.requests,
      alwaysOnWh: alwaysOnWh(entry, config),
    }));
}

/**
 * What these servers had drawn over the same time, had all of them been on and shared the same requests by capacity.
 * Time that no reading covers counts on neither side, so that silence shows no saving.
 */
function alwaysOnWh({ servers, requests }: Hour, config: FleetConfig): number {
  const known = Object.entries(servers).flatMap(([name, { coveredMs }]) => {
    const server = config.servers[name];
    return server ? [{ ...server, coveredMs }] : [];
  });
  const capacityRps = known.reduce((sum, server) => sum + server.capacityRps, 0);
  const spanMs = Math.max(0, ...known.map(({ coveredMs }) => coveredMs));
  const rps = spanMs > 0 ? (requests * 1_000) / spanMs : 0;
  const utilization = capacityRps > 0 ? rps / capacityRps : 0;
  return known.reduce(
    (sum, { energy, coveredMs }) => sum + (modelledWatts(energy, utilization) * coveredMs) / hourMs,
    0,
  );
}
