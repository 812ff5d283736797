import type { Bus } from '../bus/mod.ts';
import { copyFleet, type Fleet, fleetSchemaVersion, foldInto, initialFleet } from '../domain/mod.ts';
import { type Checkpoint, listCheckpoints, loadCheckpoint } from './checkpoints.ts';
import { isOfHistory } from './fleetView.ts';

/** A moment of the history: an event's sequence, or a time in epoch ms by the stream's own clock. */
export type Moment = { readonly sequence: number } | { readonly timeMs: number };

/** The fleet as it was. */
export interface FleetAt {
  readonly fleet: Fleet;
  /** The last event that had happened; 0: none yet. */
  readonly sequence: number;
  /** Epoch ms of the moment: the time that was asked for, or when the asked event was stored. */
  readonly timeMs: number;
  /** One sentence on what of the past is no longer kept and so is missing in this fleet; left out: nothing. */
  readonly gap?: string;
}

export interface HistoryOptions {
  /** Snapshots to begin from, where they are old enough. */
  readonly snapshots?: readonly string[];
  /** While a history is folded, every so many events a state is kept to begin from next time. */
  readonly keepEvery?: number;
  /** So many states at most; those asked for longest ago go first. */
  readonly maxKept?: number;
}

/** The history for one that asks for many moments, such as a time slider: what was folded once is kept. */
export interface History {
  /** @throws RangeError for a moment that is no number, and what the bus throws. */
  fleetAt(until: Moment): Promise<FleetAt>;
}

/** A fold from which a later one may begin. Never folded into: it is copied first. */
interface Start {
  readonly fleet: Fleet;
  /** When its last event was stored; undefined where a snapshot does not say. */
  readonly storedMs: number | undefined;
}

const defaultSnapshots = ['planner', 'power', 'health', 'cli'] as const;

/**
 * The fleet as it was at a moment, folded from the nearest state at or before it: a snapshot, or the beginning of
 * the stream. For many moments use `openHistory`.
 * @throws RangeError for a moment that is no number, and what the bus throws.
 */
export function fleetAt(bus: Bus, until: Moment, options: HistoryOptions = {}): Promise<FleetAt> {
  return openHistory(bus, options).fleetAt(until);
}

/** Opens the history. It holds no subscription, so there is nothing to close. */
export function openHistory(bus: Bus, options: HistoryOptions = {}): History {
  const { snapshots = defaultSnapshots, keepEvery = 5_000, maxKept = 64 } = options;
  const kept = new Map<number, Start>();
  let loading: Promise<Start[]> | undefined;
  let listing: Promise<readonly Checkpoint[]> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const keep = (start: Start) => {
    kept.delete(start.fleet.sequence);
    kept.set(start.fleet.sequence, start);
    for (const oldest of kept.keys()) {
      if (kept.size <= maxKept) return;
      kept.delete(oldest);
    }
  };
  const nearest = async (sequence: number): Promise<Start> => {
    loading ??= loadStarts(bus, snapshots);
    const starts = [...kept.values(), ...(await loading)];
    const none: Start = { fleet: initialFleet(), storedMs: undefined };
    const usable = starts.filter(({ fleet }) => fleet.sequence <= sequence);
    const best = usable.reduce(
      (one, start) => (start.fleet.sequence > one.fleet.sequence ? start : one),
      none,
    );
    listing ??= listCheckpoints(bus);
    const between = (one: Checkpoint) => one.sequence <= sequence && one.sequence > best.fleet.sequence;
    for (const checkpoint of (await listing).filter(between).reverse()) {
      const fleet = await loadCheckpoint(bus, checkpoint);
      if (!fleet) continue;
      const start = { fleet, storedMs: checkpoint.storedMs };
      keep(start);
      return start;
    }
    return best;
  };
  const foldTo = async (start: Start, sequence: number): Promise<Start> => {
    if (start.fleet.sequence >= sequence) return start;
    const fleet = copyFleet(start.fleet);
    let storedMs = start.storedMs;
    let keptSequence = fleet.sequence;
    for await (const event of bus.history('FLEET', fleet.sequence + 1)) {
      if (event.sequence > sequence) break;
      foldInto(fleet, event);
      storedMs = event.storedMs;
      if (fleet.sequence - keptSequence < keepEvery || fleet.sequence === sequence) continue;
      keptSequence = fleet.sequence;
      keep({ fleet: copyFleet(fleet), storedMs });
    }
    return { fleet, storedMs };
  };
  const look = async (until: Moment): Promise<FleetAt> => {
    const [first, end] = await Promise.all([bus.firstSequence('FLEET'), bus.lastSequence('FLEET')]);
    const sequence = 'sequence' in until ? until.sequence : await bus.sequenceAt('FLEET', until.timeMs);
    const bounded = Math.min(Math.max(0, Math.floor(sequence)), end);
    const start = await nearest(bounded);
    const reached = bounded < first ? start : await foldTo(start, bounded);
    keep(reached);
    const gap = gapOf(start.fleet.sequence, bounded, first);
    return {
      fleet: reached.fleet,
      sequence: bounded < first ? reached.fleet.sequence : bounded,
      timeMs: 'timeMs' in until ? until.timeMs : (reached.storedMs ?? (await storedAt(bus, bounded))),
      ...(gap === undefined ? {} : { gap }),
    };
  };

  return {
    fleetAt(until) {
      const wanted = 'sequence' in until ? until.sequence : until.timeMs;
      if (!Number.isFinite(wanted)) return Promise.reject(new RangeError(`no moment: ${wanted}`));
      // One after the other: the next one begins where this one has come.
      const answer = last.then(() => look(until));
      last = answer.catch(() => undefined);
      return answer;
    },
  };
}

async function loadStarts(bus: Bus, names: readonly string[]): Promise<Start[]> {
  const starts = names.map(async (name): Promise<Start[]> => {
    const snapshot = await bus.loadSnapshot(name);
    if (snapshot?.schemaVersion !== fleetSchemaVersion || !(await isOfHistory(bus, snapshot))) return [];
    return [{ fleet: snapshot.state as Fleet, storedMs: undefined }];
  });
  return (await Promise.all(starts)).flat();
}

/** Epoch ms at which an event was stored; of the first one after it when it is gone; 0 when there is none. */
async function storedAt(bus: Bus, sequence: number): Promise<number> {
  if (sequence <= 0) return 0;
  for await (const event of bus.history('FLEET', sequence)) return event.storedMs;
  return 0;
}

/** What lies between the state a fold began with and the first event that is still kept. */
function gapOf(from: number, until: number, first: number): string | undefined {
  const lastMissing = Math.min(until, first - 1);
  if (lastMissing <= from) return undefined;
  const missing =
    from + 1 === lastMissing ? `event ${lastMissing} is` : `events ${from + 1} to ${lastMissing} are`;
  const since =
    from === 0 ? 'no snapshot reaches as far back' : `the last snapshot before them is of event ${from}`;
  return `${missing} no longer kept and missing here: the history begins at event ${first}, and ${since}`;
}
