import type { Bus } from '../../libs/bus/mod.ts';
import { type DemandMemory, demandMemoryVersion, overlapMs } from '../../libs/domain/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';

/** The saved memories of the pools' demand, and where in TELEMETRY what is not in them begins. */
export interface Memories {
  load(pools: readonly string[]): Promise<{
    readonly byPool: ReadonlyMap<string, DemandMemory>;
    /** The first sequence to read. */
    readonly fromSequence: number;
  }>;
  /** Notes where in the stream a moment is. */
  mark(event: RecordedEvent): void;
  /** @throws what the bus throws. */
  save(memories: ReadonlyMap<string, DemandMemory | undefined>): Promise<void>;
}

const markEveryMs = 10_000;
/** Ten minutes: what is not closed into a step by then never will be. */
const keptMarks = 60;

const keyOf = (pool: string) => `planner-load-${pool}`;

export function createMemories(bus: Bus): Memories {
  const marks: { readonly sequence: number; readonly timeMs: number }[] = [];
  return {
    async load(pools) {
      const last = await bus.lastSequence('TELEMETRY');
      const byPool = new Map<string, DemandMemory>();
      let fromSequence = Number.POSITIVE_INFINITY;
      for (const pool of pools) {
        const saved = await bus.loadSnapshot(keyOf(pool));
        // A sequence beyond the stream's end is that of a stream that is no more.
        const fits = saved?.schemaVersion === demandMemoryVersion && saved.sequence <= last;
        if (fits) byPool.set(pool, saved.state as DemandMemory);
        fromSequence = Math.min(fromSequence, fits ? saved.sequence : 1);
      }
      const first = Number.isFinite(fromSequence) ? Math.max(1, fromSequence) : 1;
      marks.push({ sequence: first, timeMs: Number.NEGATIVE_INFINITY });
      return { byPool, fromSequence: first };
    },
    mark({ sequence, timeMs }) {
      if (timeMs - (marks.at(-1)?.timeMs ?? Number.NEGATIVE_INFINITY) < markEveryMs) return;
      marks.push({ sequence, timeMs });
      if (marks.length > keptMarks) marks.shift();
    },
    async save(memories) {
      for (const [pool, state] of memories) {
        if (!state) continue;
        const before = marks.findLast(({ timeMs }) => timeMs <= state.toMs - overlapMs) ?? marks[0];
        const sequence = before?.sequence ?? 1;
        await bus.saveSnapshot(keyOf(pool), { schemaVersion: demandMemoryVersion, sequence, state });
      }
    },
  };
}
