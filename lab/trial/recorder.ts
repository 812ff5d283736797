import type { Bus } from '../../libs/bus/mod.ts';
import { addReading, emptyLedgerEntry, type LedgerEntry, takesRequests } from '../../libs/domain/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';

/** What a subscriber sees of an arm on its streams. Everything counts from the last `take()`. */
export interface Recorder {
  readonly view: FleetView;
  /** Capacity in requests/s of the servers that take requests now, and how many are not asleep. */
  capacityNow(): { readonly capacityRps: number; readonly awake: number };
  take(): Recorded;
  /** Requests that reached the proxy since the last call: for the plots. */
  takeArrivals(): number;
  /** Of each server all that its meter has said so far, whatever was taken. */
  meters(): ReadonlyMap<string, LedgerEntry>;
  close(): Promise<void>;
}

export interface Recorded {
  readonly counts: Record<string, number>;
  readonly parked: number;
  readonly short: number;
  readonly meteredWh: number;
  readonly modelledWh: number;
  readonly servers: Record<string, { wakes: number; sleeps: number }>;
  /** The ledger of each server. */
  readonly ledgers: ReadonlyMap<string, LedgerEntry>;
}

const nothing = (): Omit<Recorded, 'ledgers'> & { parked: number; short: number } => ({
  counts: {},
  parked: 0,
  short: 0,
  meteredWh: 0,
  modelledWh: 0,
  servers: {},
});

/** @param maxMeterGapMs readings of a meter further apart than this leave a gap, which counts as modelled. */
export async function openRecorder(bus: Bus, nowMs: () => number, maxMeterGapMs: number): Promise<Recorder> {
  let recorded = nothing();
  let arrived = 0;
  let ledgers = new Map<string, LedgerEntry>();
  const meters = new Map<string, LedgerEntry>();
  const view = await openFleetView({ bus, name: 'trial', readOnly: true, onProblem: () => {} });
  const capacityNow = () => {
    let capacityRps = 0;
    let awake = 0;
    for (const server of Object.values(view.fleet.servers)) {
      if (server.lifecycle !== 'asleep') awake += 1;
      if (takesRequests(server)) capacityRps += view.fleet.config?.servers[server.name]?.capacityRps ?? 0;
    }
    return { capacityRps, awake };
  };
  const count = (event: RecordedEvent) => {
    recorded.counts[event.type] = (recorded.counts[event.type] ?? 0) + 1;
  };
  const serverCounts = (name: string) => {
    recorded.servers[name] ??= { wakes: 0, sleeps: 0 };
    return recorded.servers[name];
  };
  view.onChange((event) => {
    count(event);
    if (event.type === 'WakeRequested') serverCounts(event.data.server).wakes += 1;
    if (event.type === 'SleepVerified') serverCounts(event.data.server).sleeps += 1;
  });
  const telemetry = await bus.subscribe({
    stream: 'TELEMETRY',
    startAt: { sinceMs: nowMs() },
    onEvent(event) {
      count(event);
      if (event.type === 'PowerMetered') {
        const { server, powerWatts, meter } = event.data;
        const point = { timeMs: event.timeMs, powerWatts, measured: meter === 'measured' };
        for (const account of [ledgers, meters])
          account.set(server, addReading(account.get(server) ?? emptyLedgerEntry, point, maxMeterGapMs));
      } else if (event.type === 'LoadSampled') {
        const { newlyParked, arrivals, intervalMs } = event.data;
        recorded.parked += newlyParked;
        arrived += arrivals;
        if ((arrivals * 1_000) / Math.max(1, intervalMs) > capacityNow().capacityRps)
          recorded.short += arrivals;
      }
    },
  });
  return {
    view,
    capacityNow,
    take() {
      let meteredWh = 0;
      let modelledWh = 0;
      const kept = new Map<string, LedgerEntry>();
      const taken = new Map<string, LedgerEntry>();
      for (const [server, entry] of ledgers) {
        // Up to this moment the last reading holds; else a chapter would have a part of its neighbour's energy.
        const last = entry.last && { ...entry.last, timeMs: nowMs() };
        const closed = last ? addReading(entry, last, maxMeterGapMs) : entry;
        meteredWh += closed.energyWh;
        modelledWh += closed.modelledWh;
        taken.set(server, closed);
        kept.set(server, { ...emptyLedgerEntry, ...(last ? { last } : {}) });
      }
      ledgers = kept;
      const counted = { ...recorded, meteredWh, modelledWh, ledgers: taken };
      recorded = nothing();
      return counted;
    },
    takeArrivals() {
      const taken = arrived;
      arrived = 0;
      return taken;
    },
    meters: () => new Map(meters),
    async close() {
      await telemetry.stop();
      await view.close();
    },
  };
}
