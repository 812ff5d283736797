import { type Bus, type PublishAck, StaleWriterError, type Subscription } from '../bus/mod.ts';
import {
  copyFleet,
  type Fleet,
  fleetSchemaVersion,
  foldInto,
  initialFleet,
  skipInto,
} from '../domain/mod.ts';
import { type EventDraft, type RecordedEvent, subjectOf } from '../events/mod.ts';
import { saveCheckpoint } from './checkpoints.ts';

export type FleetListener = (event: RecordedEvent, fleet: Fleet) => void;

/**
 * The fleet as this process knows it: snapshot, then history, then each new event as it comes. All services hold
 * the same fold; only this one place folds.
 */
export interface FleetView {
  /** The latest fold. Do not keep it across an await: it moves on. */
  readonly fleet: Fleet;
  /** Called after each event is folded. Returns the way to stop listening. */
  onChange(listener: FleetListener): () => void;
  /** Resolves when the fold has reached this sequence, or holds what is asked for. Rejects on abort. */
  when(condition: (fleet: Fleet) => boolean, signal?: AbortSignal): Promise<void>;
  /**
   * Publishes a fact as the only writer of its subject, fenced by the last event this view knows there, and waits
   * until the view has folded it.
   * @param timeoutMs gives up when the bus takes longer; default: never.
   * @returns false when another fact came first, or this replica does not lead: decide again on the new state.
   * @throws BusTimeoutError past `timeoutMs`.
   */
  record(event: EventDraft, timeoutMs?: number): Promise<boolean>;
  /** Saves a snapshot and stops. */
  close(): Promise<void>;
}

export interface FleetViewOptions {
  readonly bus: Bus;
  /** Snapshot key: one for each service. */
  readonly name: string;
  /** A snapshot is saved after so many events. */
  readonly snapshotEvery?: number;
  /** Begins from that service's snapshot and saves none: for the many that only look. */
  readonly readOnly?: boolean;
  /** Keeps states all along the history, for those that look at the past. One service does. */
  readonly keepsCheckpoints?: boolean;
  /** Where several replicas run: false while another one leads; nothing is recorded or saved then. */
  readonly mayWrite?: () => boolean;
  readonly onProblem: (problem: string, details: object) => void;
}

interface Waiter {
  readonly condition: (fleet: Fleet) => boolean;
  readonly resolve: () => void;
}

interface Rebuilding {
  readonly fleet: Fleet;
  /** Where the history ended when this began. */
  readonly until: number;
  configured: RecordedEvent | undefined;
}

/** A problem of whoever counts on it at the next start, and of nobody else. */
export const snapshotNotSaved = 'snapshot not saved';

/** While a long history is read, the reading comes first: a restart in the midst of it still finds how far it came. */
const snapshotEveryBehind = 100_000;

/** Opens the view and resolves when it has caught up with the stream as it stood at the call. */
export async function openFleetView(options: FleetViewOptions): Promise<FleetView> {
  const { bus, name, onProblem, snapshotEvery = 1_000, readOnly = false, mayWrite = () => true } = options;
  const { fleet, eventId } = await restore(options);
  const listeners = new Set<FleetListener>();
  const waiters = new Set<Waiter>();
  const keepCheckpoint = checkpointKeeper(options, fleet.sequence);
  let savedSequence = fleet.sequence;
  let saving: Promise<void> | undefined;
  let isBehind = true;
  /** The history is another, or less than it was: all of it is folded anew beside the old belief, to its end. */
  let rebuilding: Rebuilding | undefined;
  let rebuilt = 0;
  /** Of the event at the fold's sequence, unless that was malformed. */
  let lastId = eventId;

  const settle = () => {
    for (const waiter of [...waiters]) {
      if (!waiter.condition(fleet)) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
  };
  const save = async () => {
    if (readOnly || rebuilding || !mayWrite()) return;
    // Two at a time under one key would spoil each other.
    await saving;
    savedSequence = fleet.sequence;
    const snapshot = {
      schemaVersion: fleetSchemaVersion,
      sequence: fleet.sequence,
      ...(lastId === undefined ? {} : { eventId: lastId }),
      state: copyFleet(fleet),
    };
    saving = bus
      .saveSnapshot(name, snapshot)
      .catch((error) => onProblem(snapshotNotSaved, { error: String(error) }))
      .finally(() => {
        saving = undefined;
      });
    await saving;
  };
  const tell = (event: RecordedEvent) => {
    for (const listener of listeners) listener(event, fleet);
    settle();
  };
  /** Facts in the midst of the history can't be read: what follows rests on what is left. */
  const tellOfGap = (known: number, sequence: number) => {
    if (known === 0 || sequence <= known + 1) return;
    onProblem('events are missing in the history: the bus has lost them', {
      from: known + 1,
      until: sequence - 1,
    });
  };
  const endRebuilding = () => {
    if (!rebuilding || rebuilding.fleet.sequence < rebuilding.until) return;
    const { fleet: found, configured } = rebuilding;
    rebuilding = undefined;
    Object.assign(fleet, found);
    // To whoever listens all of it is as new as a configuration; the events themselves are no news.
    if (configured) tell(configured);
    else settle();
  };
  const subscription: Subscription = await bus.subscribe({
    stream: 'FLEET',
    startAt: { sequence: fleet.sequence + 1 },
    onReplaced: (until) => {
      const details = { knownSequence: fleet.sequence, lastSequence: until };
      onProblem('the history was made anew or lost its end: starting over', details);
      rebuilding = { fleet: initialFleet(), until, configured: undefined };
      rebuilt += 1;
      [savedSequence, lastId] = [0, undefined];
      endRebuilding();
      settle();
      return 'all';
    },
    onEvent: (event) => {
      const into = rebuilding?.fleet ?? fleet;
      tellOfGap(into.sequence, event.sequence);
      foldInto(into, event);
      lastId = event.id;
      if (rebuilding) {
        if (event.type === 'FleetConfigured') rebuilding.configured = event;
        return endRebuilding();
      }
      tell(event);
      // What is read of the past is the same for every replica, and so are its checkpoints.
      if (isBehind || mayWrite()) keepCheckpoint(event, fleet);
      const unsaved = fleet.sequence - savedSequence;
      if (!saving && unsaved >= (isBehind ? snapshotEveryBehind : snapshotEvery)) void save();
    },
    onMalformed: (malformed) => {
      const into = rebuilding?.fleet ?? fleet;
      tellOfGap(into.sequence, malformed.sequence);
      lastId = undefined;
      skipInto(into, malformed.subject, malformed.sequence);
      onProblem('malformed event skipped', malformed);
      endRebuilding();
      settle();
    },
  });

  const view: FleetView = {
    fleet,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    when(condition, signal) {
      if (condition(fleet)) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiters.delete(waiter);
          reject(signal?.reason);
        };
        const waiter = {
          condition,
          resolve: () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          },
        };
        waiters.add(waiter);
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    async record(event, timeoutMs) {
      if (!mayWrite() || rebuilding) return false;
      const expected = fleet.lastSequences[subjectOf(event)] ?? 0;
      const bound = timeoutMs === undefined ? {} : { timeoutMs };
      const publish = (expectedLastSubjectSequence: number) =>
        bus.publish(event, { expectedLastSubjectSequence, ...bound });
      let kept = 0;
      const before = rebuilt;
      const folded = ({ sequence }: PublishAck) =>
        view.when((now) => now.sequence >= sequence || rebuilt > before);
      try {
        await folded(await publish(expected));
        return true;
      } catch (error) {
        if (!(error instanceof StaleWriterError)) throw error;
        const last = error.lastSequence ?? (await bus.lastOn('FLEET', subjectOf(event)))?.sequence ?? 0;
        if (last >= expected) return false;
        // What the view knows is no longer kept, or was lost. Of a history that is another one it knows nothing.
        if (!(await isOfHistory(bus, { sequence: fleet.sequence, eventId: lastId }))) return false;
        kept = last;
      }
      try {
        await folded(await publish(kept));
        return true;
      } catch (error) {
        if (error instanceof StaleWriterError) return false;
        throw error;
      }
    },
    async close() {
      await subscription.stop();
      await save();
    },
  };
  const [first, last] = await Promise.all([bus.firstSequence('FLEET'), bus.lastSequence('FLEET')]);
  // One that holds nothing any more has nothing to catch up with.
  if (first <= last) await view.when((now) => (now.sequence >= last || rebuilt > 0) && !rebuilding);
  isBehind = false;
  if (fleet.sequence - savedSequence >= snapshotEvery) void save();
  return view;
}

/** One is saved at a time, in order; what can't be saved is left out. */
function checkpointKeeper(
  { bus, keepsCheckpoints, onProblem }: FleetViewOptions,
  fromSequence: number,
): (event: RecordedEvent, fleet: Fleet) => void {
  let keptSequence = fromSequence;
  let last: Promise<void> = Promise.resolve();
  return ({ storedMs }, fleet) => {
    const settings = fleet.config?.history;
    if (!keepsCheckpoints || !settings) return;
    const everyEvents = settings.checkpointEvents;
    if (Math.floor(fleet.sequence / everyEvents) === Math.floor(keptSequence / everyEvents)) return;
    keptSequence = fleet.sequence;
    const copy = copyFleet(fleet);
    last = last
      .then(() => saveCheckpoint(bus, copy, storedMs, { everyEvents, most: settings.maxCheckpoints }))
      .catch((error) => onProblem('checkpoint not saved', { error: String(error) }));
  };
}

/** The snapshot, if it fits this version and is of this history; else the empty fleet. */
async function restore({
  bus,
  name,
  onProblem,
}: FleetViewOptions): Promise<{ fleet: Fleet; eventId?: string }> {
  const snapshot = await bus.loadSnapshot(name);
  if (snapshot?.schemaVersion !== fleetSchemaVersion) return { fleet: initialFleet() };
  const { sequence, state, eventId } = snapshot;
  if (await isOfHistory(bus, snapshot))
    return { fleet: state as Fleet, ...(eventId === undefined ? {} : { eventId }) };
  onProblem('the snapshot is of another history, or of more than is left: all is read again', { sequence });
  return { fleet: initialFleet() };
}

/**
 * Does the history hold what a snapshot was folded from? One that was made anew, or lost its end, gives the same
 * sequences to other events. Where the event itself is no longer kept, the snapshot is believed.
 */
export async function isOfHistory(
  bus: Bus,
  { sequence, eventId }: { readonly sequence: number; readonly eventId?: string | undefined },
): Promise<boolean> {
  if (sequence > (await bus.lastSequence('FLEET'))) return false;
  if (eventId === undefined) return true;
  const event = await bus.eventAt('FLEET', sequence);
  return event === undefined || event.id === eventId;
}
