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

/** The energy ledger of the last month, kept up by the events: accounted hours, and the hour under way from the meters. */
export interface SavingsBook {
  accounted(hour: Hour): void;
  telemetryEvent(event: RecordedEvent, maxGapMs: number): void;
  /** All that was used and saved since then (epoch ms), of all pools. */
  since(sinceMs: number, config: FleetConfig): Savings;
}

const keptMs = 31 * 24 * hourMs;

export function createSavingsBook(): SavingsBook {
  let hours: Hour[] = [];
  /** A server each: an account of many is copied whole at each reading. */
  const meters = new Map<string, { readonly pool: string; account: EnergyAccount }>();
  const requests = new Map<string, EnergyAccount>();
  const closedTo = new Map<string, number>();

  const fresh = (pool: string) => openAccount(closedTo.get(pool) ?? 0);
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
      const open = Object.keys(config.pools).flatMap((pool) => {
        const parts = [...meters.values()]
          .filter((entry) => entry.pool === pool)
          .map(({ account }) => account);
        const served = requests.get(pool);
        return accountedHours(merged(served ? [...parts, served] : parts), pool, config);
      });
      const { servers: _unshown, ...report } = energyReport(
        [...hours, ...open].filter(({ toMs }) => toMs > sinceMs),
        config.costs,
      );
      return report;
    },
  };
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
function withoutServers(hour: Hour): Hour {
  const sum = { energyWh: 0, modelledWh: 0, gapMs: 0, coveredMs: 0 };
  for (const server of Object.values(hour.servers)) {
    sum.energyWh += server.energyWh;
    sum.modelledWh += server.modelledWh;
    sum.gapMs += server.gapMs;
    sum.coveredMs += server.coveredMs;
  }
  return { ...hour, servers: { all: sum } };
}
