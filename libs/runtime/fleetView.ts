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

/** While a long history is read, the reading comes first: a restart in the midst of it still finds how far it came. */
const snapshotEveryBehind = 100_000;

/** Opens the view and resolves when it has caught up with the stream as it stood at the call. */
export async function openFleetView(options: FleetViewOptions): Promise<FleetView> {
  const { bus, name, onProblem, snapshotEvery = 1_000, readOnly = false, mayWrite = () => true } = options;
  const fleet = await restore(bus, name);
  const listeners = new Set<FleetListener>();
  const waiters = new Set<Waiter>();
  const keepCheckpoint = checkpointKeeper(options, fleet.sequence);
  let savedSequence = fleet.sequence;
  let saving: Promise<void> | undefined;
  let isBehind = true;

  const settle = () => {
    for (const waiter of [...waiters]) {
      if (!waiter.condition(fleet)) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
  };
  const save = async () => {
    if (readOnly || !mayWrite()) return;
    // Two at a time under one key would spoil each other.
    await saving;
    savedSequence = fleet.sequence;
    const snapshot = {
      schemaVersion: fleetSchemaVersion,
      sequence: fleet.sequence,
      state: copyFleet(fleet),
    };
    saving = bus
      .saveSnapshot(name, snapshot)
      .catch((error) => onProblem('snapshot not saved', { error: String(error) }))
      .finally(() => {
        saving = undefined;
      });
    await saving;
  };
  const subscription: Subscription = await bus.subscribe({
    stream: 'FLEET',
    startAt: { sequence: fleet.sequence + 1 },
    onEvent: (event) => {
      // No reader goes back in one stream: this is another, which knows nothing of what was.
      if (event.sequence <= fleet.sequence) {
        onProblem('the history was made anew: starting over', { sequence: fleet.sequence });
        Object.assign(fleet, initialFleet());
        savedSequence = 0;
      }
      foldInto(fleet, event);
      for (const listener of listeners) listener(event, fleet);
      settle();
      // What is read of the past is the same for every replica, and so are its checkpoints.
      if (isBehind || mayWrite()) keepCheckpoint(event, fleet);
      const unsaved = fleet.sequence - savedSequence;
      if (!saving && unsaved >= (isBehind ? snapshotEveryBehind : snapshotEvery)) void save();
    },
    onMalformed: (malformed) => {
      skipInto(fleet, malformed.subject, malformed.sequence);
      onProblem('malformed event skipped', malformed);
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
      if (!mayWrite()) return false;
      const expected = fleet.lastSequences[subjectOf(event)] ?? 0;
      const bound = timeoutMs === undefined ? {} : { timeoutMs };
      const publish = (expectedLastSubjectSequence: number) =>
        bus.publish(event, { expectedLastSubjectSequence, ...bound });
      const folded = ({ sequence }: PublishAck) => view.when((now) => now.sequence >= sequence);
      try {
        await folded(await publish(expected));
        return true;
      } catch (error) {
        if (!(error instanceof StaleWriterError)) throw error;
      }
      // What the view knows may be older than what is kept: then the stream knows of no event on the subject.
      if (expected === 0 || expected >= (await bus.firstSequence('FLEET'))) return false;
      try {
        await folded(await publish(0));
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
  const last = await bus.lastSequence('FLEET');
  await view.when((now) => now.sequence >= last);
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

/** The snapshot, if it fits this version and the stream still reaches as far; else the empty fleet. */
async function restore(bus: Bus, name: string): Promise<Fleet> {
  const snapshot = await bus.loadSnapshot(name);
  if (snapshot?.schemaVersion !== fleetSchemaVersion) return initialFleet();
  if (snapshot.sequence > (await bus.lastSequence('FLEET'))) return initialFleet();
  return snapshot.state as Fleet;
}
