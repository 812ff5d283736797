import { type Bus, StaleWriterError, type Subscription } from '../bus/mod.ts';
import { type Fleet, fleetSchemaVersion, foldInto, initialFleet, skipInto } from '../domain/mod.ts';
import { type EventDraft, type RecordedEvent, subjectOf } from '../events/mod.ts';

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
   * @returns false when another fact came first: decide again on the new state.
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
  readonly onProblem: (problem: string, details: object) => void;
}

interface Waiter {
  readonly condition: (fleet: Fleet) => boolean;
  readonly resolve: () => void;
}

/** Opens the view and resolves when it has caught up with the stream as it stood at the call. */
export async function openFleetView(options: FleetViewOptions): Promise<FleetView> {
  const { bus, name, onProblem, snapshotEvery = 1_000, readOnly = false } = options;
  const fleet = await restore(bus, name);
  const listeners = new Set<FleetListener>();
  const waiters = new Set<Waiter>();
  let savedSequence = fleet.sequence;

  const settle = () => {
    for (const waiter of [...waiters]) {
      if (!waiter.condition(fleet)) continue;
      waiters.delete(waiter);
      waiter.resolve();
    }
  };
  const save = async () => {
    if (readOnly) return;
    savedSequence = fleet.sequence;
    const snapshot = {
      schemaVersion: fleetSchemaVersion,
      sequence: fleet.sequence,
      state: structuredClone(fleet),
    };
    await bus
      .saveSnapshot(name, snapshot)
      .catch((error) => onProblem('snapshot not saved', { error: String(error) }));
  };
  const subscription: Subscription = await bus.subscribe({
    stream: 'FLEET',
    startAt: { sequence: fleet.sequence + 1 },
    onEvent: (event) => {
      foldInto(fleet, event);
      for (const listener of listeners) listener(event, fleet);
      settle();
      if (fleet.sequence - savedSequence >= snapshotEvery) void save();
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
      const expected = fleet.lastSequences[subjectOf(event)] ?? 0;
      const bound = timeoutMs === undefined ? {} : { timeoutMs };
      try {
        const { sequence } = await bus.publish(event, { expectedLastSubjectSequence: expected, ...bound });
        await view.when((now) => now.sequence >= sequence);
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
  return view;
}

/** The snapshot, if it fits this version and the stream still reaches as far; else the empty fleet. */
async function restore(bus: Bus, name: string): Promise<Fleet> {
  const snapshot = await bus.loadSnapshot(name);
  if (snapshot?.schemaVersion !== fleetSchemaVersion) return initialFleet();
  if (snapshot.sequence > (await bus.lastSequence('FLEET'))) return initialFleet();
  return snapshot.state as Fleet;
}
