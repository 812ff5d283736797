import type { Bus } from '../../libs/bus/mod.ts';
import {
  accountedHours,
  addMeterReading,
  addRequests,
  closeAccount,
  type EnergyAccount,
  openAccount,
} from '../../libs/domain/mod.ts';
import { type RecordedEvent, subjectFilters } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import { publishTimeoutMs } from './machine.ts';

/** As long as telemetry is kept: what is older can't be accounted for any more. */
const telemetryMs = 86_400_000;

export interface Accountant {
  stop(): Promise<void>;
}

export interface AccountantOptions {
  readonly bus: Bus;
  readonly view: FleetView;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** Between two looks whether an hour is over. */
  readonly intervalMs?: number;
}

/**
 * Turns meters and load, which are kept for a day, into one `EnergyAccounted` an hour and pool, which stay. A restart
 * reads again what the history does not hold yet; of two accountants the second finds the hour accounted for.
 */
export async function startAccountant(options: AccountantOptions): Promise<Accountant> {
  const { bus, view, log, nowMs, clock, intervalMs = 10_000 } = options;
  const accounts = new Map<string, EnergyAccount>();
  const accountOf = (pool: string): EnergyAccount => {
    const closedToMs = view.fleet.pools[pool]?.energyAccountedToMs ?? 0;
    return closeAccount(accounts.get(pool) ?? openAccount(closedToMs), closedToMs);
  };
  const onEvent = (event: RecordedEvent) => {
    const costs = view.fleet.config?.costs;
    if (!costs) return;
    if (event.type === 'PowerMetered') {
      const { pool, server, powerWatts, meter } = event.data;
      const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
      accounts.set(pool, addMeterReading(accountOf(pool), server, point, costs.maxMeterGapMs));
    } else if (event.type === 'LoadSampled') {
      const { pool, completed } = event.data;
      accounts.set(pool, addRequests(accountOf(pool), event.timeMs, completed));
    }
  };
  const accountedTo = Object.values(view.fleet.pools).map((pool) => pool.energyAccountedToMs ?? 0);
  const gapMs = view.fleet.config?.costs.maxMeterGapMs ?? 0;
  let blindMs = clock.monotonicMs();
  const sinceMs = Math.max(nowMs() - telemetryMs, Math.min(...accountedTo, nowMs()) - gapMs);
  const subscriptions = await Promise.all(
    [subjectFilters.meter, subjectFilters.load].map((filter) =>
      bus.subscribe({ stream: 'TELEMETRY', filter, startAt: { sinceMs }, onEvent }),
    ),
  );
  const closeHours = async () => {
    const { config } = view.fleet;
    if (bus.lostSinceMs !== undefined) blindMs = clock.monotonicMs();
    // After a start or a loss of the bus, what was missed and the reading that bridges the gap have to come first.
    const knows = config && clock.monotonicMs() - blindMs > config.costs.maxMeterGapMs;
    if (!config || !knows) return;
    for (const pool of Object.keys(config.pools)) {
      const account = accountOf(pool);
      // What is under way must have come, and the reading after the hour's end, which closes it.
      const untilMs = nowMs() - config.costs.maxMeterGapMs;
      for (const data of accountedHours(account, pool, config, untilMs)) {
        if (!(await view.record({ type: 'EnergyAccounted', data }, publishTimeoutMs))) break;
        log.info({ pool, fromMs: data.fromMs, requests: data.requests }, 'EnergyAccounted');
      }
      accounts.set(pool, accountOf(pool));
    }
  };
  const loop = startLoop({
    clock: clock,
    work: closeHours,
    delayMs: () => intervalMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'energy not accounted'),
  });
  return {
    async stop() {
      await loop.stop();
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    },
  };
}
