import {
  accountedHours,
  addMeterReading,
  addRequests,
  closeAccount,
  type EnergyAccount,
  type EnergyReport,
  energyReport,
  hourMs,
  openAccount,
  type ServerEnergy,
} from '../../libs/domain/mod.ts';
import type { EventData, FleetConfig, RecordedEvent } from '../../libs/events/mod.ts';

type Hour = EventData<'EnergyAccounted'>;
export type Savings = Omit<EnergyReport, 'servers'>;

/** An hour of a pool, its means over the time that its meters cover; null: not known. Rates in requests/s. */
export type HourPoint = readonly [
  /** Epoch seconds at which the hour begins. */
  timeSeconds: number,
  loadRps: number,
  watts: number | null,
  alwaysOnWatts: number | null,
];

/** The energy ledger of the last month, kept up by the events: accounted hours, and the hour under way from the meters. */
export interface SavingsBook {
  accounted(hour: Hour): void;
  telemetryEvent(event: RecordedEvent, maxGapMs: number): void;
  /** All that was used and saved since then (epoch ms), of all pools. */
  since(sinceMs: number, config: FleetConfig): Savings;
  /** The hours that ended, or are under way, since then; by pool, oldest first. */
  hoursSince(sinceMs: number, config: FleetConfig): Readonly<Record<string, readonly HourPoint[]>>;
}

const keptMs = 31 * 24 * hourMs;

/** An hour whose servers are summed up, and how much of it their meters cover. */
type KeptHour = Hour & { readonly spanMs: number };

export function createSavingsBook(): SavingsBook {
  let hours: KeptHour[] = [];
  /** A server each: an account of many is copied whole at each reading. */
  const meters = new Map<string, { readonly pool: string; account: EnergyAccount }>();
  const requests = new Map<string, EnergyAccount>();
  const closedTo = new Map<string, number>();

  const fresh = (pool: string) => openAccount(closedTo.get(pool) ?? 0);
  const openHours = (config: FleetConfig): Hour[] =>
    Object.keys(config.pools).flatMap((pool) => {
      const parts = [...meters.values()].filter((entry) => entry.pool === pool).map(({ account }) => account);
      const served = requests.get(pool);
      return accountedHours(merged(served ? [...parts, served] : parts), pool, config);
    });
  return {
    accounted(hour) {
      hours.push(withoutServers(hour));
      hours = hours.filter(({ toMs }) => hour.toMs - toMs < keptMs);
      const toMs = Math.max(closedTo.get(hour.pool) ?? 0, hour.toMs);
      closedTo.set(hour.pool, toMs);
      for (const entry of meters.values())
        if (entry.pool === hour.pool) entry.account = closeAccount(entry.account, toMs);
      const served = requests.get(hour.pool);
      if (served) requests.set(hour.pool, closeAccount(served, toMs));
    },
    telemetryEvent(event, maxGapMs) {
      if (event.type === 'LoadSampled') {
        const { pool, completed } = event.data;
        requests.set(pool, addRequests(requests.get(pool) ?? fresh(pool), event.timeMs, completed));
      } else if (event.type === 'PowerMetered') {
        const { pool, server, powerWatts, meter } = event.data;
        const known = meters.get(server);
        const account = known?.pool === pool ? known.account : fresh(pool);
        const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
        meters.set(server, { pool, account: addMeterReading(account, server, point, maxGapMs) });
      }
    },
    since(sinceMs, config) {
      const ended = hours.filter(({ toMs }) => toMs > sinceMs);
      const open = openHours(config).filter(({ toMs }) => toMs > sinceMs);
      const { servers: _unshown, ...report } = energyReport([...ended, ...open], config.costs);
      return report;
    },
    hoursSince(sinceMs, config) {
      const all = [...hours, ...openHours(config).map(withoutServers)].filter(({ toMs }) => toMs > sinceMs);
      const of = (name: string) =>
        all.filter(({ pool }) => pool === name).sort((a, b) => a.fromMs - b.fromMs);
      return Object.fromEntries(Object.keys(config.pools).map((pool) => [pool, of(pool).map(pointOf)]));
    },
  };
}

function pointOf({ fromMs, requests, servers, alwaysOnWh, spanMs }: KeptHour): HourPoint {
  const begin = Math.floor(fromMs / hourMs) * (hourMs / 1_000);
  if (spanMs === 0) return [begin, round(requests / (hourMs / 1_000), 2), null, null];
  const perHour = hourMs / spanMs;
  const watts = round((servers.all?.energyWh ?? 0) * perHour, 1);
  return [begin, round((requests * 1_000) / spanMs, 2), watts, round(alwaysOnWh * perHour, 1)];
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Accounts of different servers of one pool as one. */
function merged(accounts: readonly EnergyAccount[]): EnergyAccount {
  const hours: Record<number, { servers: Record<string, ServerEnergy>; requests: number }> = {};
  for (const account of accounts) {
    for (const [hour, part] of Object.entries(account.hours)) {
      const known = hours[Number(hour)] ?? { servers: {}, requests: 0 };
      hours[Number(hour)] = known;
      Object.assign(known.servers, part.servers);
      known.requests += part.requests;
    }
  }
  return { closedToMs: Math.max(0, ...accounts.map(({ closedToMs }) => closedToMs)), last: {}, hours };
}

/** A month of hours of a large fleet is much; only their sums are shown. */
function withoutServers(hour: Hour): KeptHour {
  let spanMs = 0;
  const sum = { energyWh: 0, modelledWh: 0, gapMs: 0, coveredMs: 0 };
  for (const server of Object.values(hour.servers)) {
    sum.energyWh += server.energyWh;
    sum.modelledWh += server.modelledWh;
    sum.gapMs += server.gapMs;
    sum.coveredMs += server.coveredMs;
    spanMs = Math.max(spanMs, server.coveredMs);
  }
  return { ...hour, servers: { all: sum }, spanMs };
}
