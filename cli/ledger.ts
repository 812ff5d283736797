import type { Bus } from '../libs/bus/mod.ts';
import {
  accountedHours,
  addMeterReading,
  addRequests,
  type EnergyAccount,
  emptyTally,
  type Fleet,
  openAccount,
  tally,
  type WakeTally,
} from '../libs/domain/mod.ts';
import type { EventData, FleetConfig, RecordedEvent, StreamName } from '../libs/events/mod.ts';

export interface Ledger {
  readonly hours: readonly EventData<'EnergyAccounted'>[];
  readonly tally: WakeTally;
}

/**
 * The energy of all pools since then: the hours that are accounted for, each whole, from the history; what came after
 * them from the meters and the load themselves, as long as these are kept.
 */
export async function readLedger(
  bus: Bus,
  fleet: Fleet,
  config: FleetConfig,
  sinceMs: number,
  signal: AbortSignal,
): Promise<Ledger> {
  const closed: EventData<'EnergyAccounted'>[] = [];
  let counted = emptyTally;
  // An hour is told of when it is over: the one that holds `sinceMs` comes after it.
  await readSince(bus, 'FLEET', sinceMs, signal, (event) => {
    counted = tally(counted, event);
    if (event.type === 'EnergyAccounted') closed.push(event.data);
  });
  const accounts = new Map<string, EnergyAccount>();
  for (const pool of Object.keys(config.pools)) {
    const accountedToMs = fleet.pools[pool]?.energyAccountedToMs ?? 0;
    accounts.set(pool, openAccount(Math.max(accountedToMs, sinceMs)));
  }
  const { maxMeterGapMs } = config.costs;
  const openSinceMs = Math.min(...[...accounts.values()].map(({ closedToMs }) => closedToMs));
  await readSince(bus, 'TELEMETRY', Math.max(0, openSinceMs - maxMeterGapMs), signal, (event) => {
    if (event.type !== 'PowerMetered' && event.type !== 'LoadSampled') return;
    const { pool } = event.data;
    const account = accounts.get(pool);
    if (!account) return;
    if (event.type === 'LoadSampled') {
      accounts.set(pool, addRequests(account, event.timeMs, event.data.completed));
      return;
    }
    const { server, powerWatts, meter } = event.data;
    const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
    accounts.set(pool, addMeterReading(account, server, point, maxMeterGapMs));
  });
  const open = [...accounts].flatMap(([pool, account]) => accountedHours(account, pool, config));
  return { hours: [...closed, ...open], tally: counted };
}

/** Hands over every event of a stream since then, up to its end as it stands at the call. */
async function readSince(
  bus: Bus,
  stream: StreamName,
  sinceMs: number,
  signal: AbortSignal,
  onEvent: (event: RecordedEvent) => void,
): Promise<void> {
  const last = await bus.lastSequence(stream);
  let newestMs = Number.NEGATIVE_INFINITY;
  if (last > 0) for await (const event of bus.history(stream, last)) newestMs = event.timeMs;
  // With nothing to come, a subscription would wait for it.
  if (newestMs < sinceMs) return;
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(new Error('interrupted'));
    signal.addEventListener('abort', onAbort, { once: true });
    const subscribed = bus.subscribe({
      stream,
      startAt: { sinceMs },
      onEvent: (event) => {
        if (event.sequence <= last) onEvent(event);
        endAt(event.sequence);
      },
      onMalformed: ({ sequence }) => endAt(sequence),
    });
    const endAt = (sequence: number) => {
      if (sequence < last) return;
      signal.removeEventListener('abort', onAbort);
      void subscribed.then((subscription) => subscription.stop()).then(resolve, reject);
    };
    subscribed.catch(reject);
  });
}
