import type { Bus } from '../../libs/bus/mod.ts';
import {
  createPoolDemand,
  type DemandSettings,
  demandSchemaVersion,
  demandSettings,
  type Fleet,
  type PoolDemand,
  type SavedDemand,
} from '../../libs/domain/mod.ts';
import { type EventOf, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { Logger } from '../../libs/runtime/log.ts';

/** What a planner knows of one pool's load. */
export interface PoolLoad {
  readonly demand: PoolDemand;
  /** Up to which event of TELEMETRY. */
  sequence: number;
  /** The trace of a request that waits: the next decision belongs to it. */
  traceparent: string | undefined;
}

export interface LoadMemory {
  /** Up to which event of TELEMETRY all of it was read. */
  readonly lastSequence: number;
  of(pool: string): PoolLoad;
  /** Takes one sample in, unless it is in already. */
  observe(event: EventOf<'LoadSampled'>): void;
  /** The stream was made anew, and its sequences begin over. */
  startOver(): void;
  /** Saves what was learned, pool by pool. What can't be saved is learned again after a restart. */
  save(): Promise<void>;
}

export interface LoadMemoryOptions {
  readonly bus: Bus;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly fleet: () => Fleet;
}

/** The load of the last day teaches a planner that finds nothing saved. */
const rememberedMs = 86_400_000;

function keyOf(pool: string): string {
  return `planner.load.${pool}`;
}

/**
 * What earlier planners learned, and then the samples since, to their end: they teach the forecast, but what the
 * servers could take then is not known any more, so no lateness is learned from them.
 */
export async function recallLoad(options: LoadMemoryOptions): Promise<LoadMemory> {
  const { bus, log, nowMs, fleet } = options;
  const loads = new Map<string, PoolLoad>();
  const of = (pool: string): PoolLoad => {
    let load = loads.get(pool);
    if (!load) {
      load = { demand: createPoolDemand(), sequence: 0, traceparent: undefined };
      loads.set(pool, load);
    }
    return load;
  };
  const observe = ({ data, timeMs, sequence }: EventOf<'LoadSampled'>) => {
    const load = of(data.pool);
    if (sequence <= load.sequence) return;
    load.sequence = sequence;
    const { proxy, intervalMs, arrivals, inFlight, parked, stopping } = data;
    load.demand.observe({ proxy, timeMs, intervalMs, arrivals, inFlight, parked, stopping });
  };

  const pools = Object.keys(fleet().pools);
  const end = await bus.lastSequence('TELEMETRY');
  await Promise.all(
    pools.map(async (pool) => {
      const saved = await bus.loadSnapshot(keyOf(pool));
      if (saved?.schemaVersion !== demandSchemaVersion) return;
      const demand = createPoolDemand(saved.state as SavedDemand);
      // Of a stream that was made anew everything is new.
      loads.set(pool, {
        demand,
        sequence: saved.sequence > end ? 0 : saved.sequence,
        traceparent: undefined,
      });
    }),
  );
  const known = Math.min(...pools.map((pool) => of(pool).sequence));
  const first = Math.max(
    Number.isFinite(known) ? known : 0,
    await bus.sequenceAt('TELEMETRY', nowMs() - rememberedMs),
  );
  // A walk over all servers: once for the past is enough.
  const settingsOf = new Map<string, DemandSettings>();
  let lastSequence = Math.min(first, end);
  for await (const event of bus.history('TELEMETRY', first + 1, subjectFilters.load)) {
    lastSequence = event.sequence;
    if (event.type !== 'LoadSampled' || nowMs() - event.timeMs > rememberedMs) continue;
    observe(event);
    const { pool } = event.data;
    const settings = settingsOf.get(pool) ?? demandSettings(fleet(), pool);
    if (!settings) continue;
    settingsOf.set(pool, settings);
    of(pool).demand.advance(event.timeMs, settings);
  }
  return {
    lastSequence,
    of,
    observe,
    startOver() {
      for (const load of loads.values()) load.sequence = 0;
    },
    async save() {
      for (const [pool, { demand, sequence }] of loads) {
        const snapshot = { schemaVersion: demandSchemaVersion, sequence, state: demand.save() };
        await bus
          .saveSnapshot(keyOf(pool), snapshot)
          .catch((error) => log.warn({ pool, error: messageOf(error) }, 'load memory not saved'));
      }
    },
  };
}
