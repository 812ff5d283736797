import type { Bus } from '../bus/mod.ts';
import { type Fleet, fleetSchemaVersion } from '../domain/mod.ts';

/**
 * States of the fleet all along the history, kept as snapshots: where a look at the past begins, and what is left of
 * a time whose events are no longer kept. An index names them; each lies in a slot of its own. Every replica of a
 * service would save the same ones, so it does not matter who does.
 */
export interface Checkpoint {
  readonly sequence: number;
  /** When its last event was stored, in epoch ms. */
  readonly storedMs: number;
  readonly slot: number;
}

export interface CheckpointLimits {
  /** A state is kept after so many events. */
  readonly everyEvents: number;
  /** So many are kept; then the one whose neighbours are nearest goes, never the first or the last. */
  readonly most: number;
}

const indexKey = 'history';
const indexVersion = 1;

function slotKey(slot: number): string {
  return `history.${slot}`;
}

/** All that are kept of this history, oldest first. Of one that was made anew or lost its end others have come. */
export async function listCheckpoints(bus: Bus): Promise<readonly Checkpoint[]> {
  const [index, end] = await Promise.all([bus.loadSnapshot(indexKey), bus.lastSequence('FLEET')]);
  if (index?.schemaVersion !== indexVersion || !Array.isArray(index.state)) return [];
  const checkpoints = (index.state as Checkpoint[]).filter(({ sequence }) => sequence <= end);
  // What lies before one that is of this history is of it too.
  for (let newest = checkpoints.at(-1); newest; newest = checkpoints.at(-1)) {
    const event = await bus.eventAt('FLEET', newest.sequence);
    if (!event || event.storedMs === newest.storedMs) break;
    checkpoints.pop();
  }
  return checkpoints;
}

/** The state of one; undefined when its slot was given away meanwhile, or it is of another version of the fold. */
export async function loadCheckpoint(bus: Bus, { slot, sequence }: Checkpoint): Promise<Fleet | undefined> {
  const snapshot = await bus.loadSnapshot(slotKey(slot));
  if (snapshot?.schemaVersion !== fleetSchemaVersion || snapshot.sequence !== sequence) return undefined;
  return snapshot.state as Fleet;
}

/**
 * Keeps a state, unless one as near was kept by another replica. Those of a stream that was made anew are forgotten.
 * @throws what the bus throws; the checkpoints before it stay.
 */
export async function saveCheckpoint(
  bus: Bus,
  fleet: Fleet,
  storedMs: number,
  { everyEvents, most }: CheckpointLimits,
): Promise<void> {
  const { sequence } = fleet;
  const known = await listCheckpoints(bus);
  if (known.some((one) => Math.abs(one.sequence - sequence) < everyEvents / 2)) return;
  const kept = thinned(known, most - 1);
  const slot = freeSlot(kept);
  await bus.saveSnapshot(slotKey(slot), { schemaVersion: fleetSchemaVersion, sequence, state: fleet });
  const index = [...kept, { sequence, storedMs, slot }].sort((a, b) => a.sequence - b.sequence);
  await bus.saveSnapshot(indexKey, { schemaVersion: indexVersion, sequence, state: index });
}

/** At most `most` of them, spread as evenly as their sequences allow. Oldest first, before and after. */
export function thinned(checkpoints: readonly Checkpoint[], most: number): readonly Checkpoint[] {
  const kept = [...checkpoints];
  while (kept.length > Math.max(1, most)) {
    let nearest = kept.length - 1;
    let leastGap = Number.POSITIVE_INFINITY;
    for (let index = 1; index < kept.length - 1; index += 1) {
      const gap = (kept[index + 1]?.sequence ?? 0) - (kept[index - 1]?.sequence ?? 0);
      if (gap >= leastGap) continue;
      leastGap = gap;
      nearest = index;
    }
    kept.splice(nearest, 1);
  }
  return kept;
}

function freeSlot(checkpoints: readonly Checkpoint[]): number {
  const taken = new Set(checkpoints.map(({ slot }) => slot));
  let slot = 0;
  while (taken.has(slot)) slot += 1;
  return slot;
}
