import { randomUUID } from 'node:crypto';
import { encode, type StreamName } from '../events/mod.ts';
import {
  type Bus,
  BusClosedError,
  BusTimeoutError,
  NobodyAnswersError,
  type PublishAck,
  type PublishOptions,
  type Snapshot,
  type Subscription,
} from './bus.ts';
import { subscribeMemory, subscribeMemoryDurable } from './memoryConsumers.ts';
import {
  createMemoryStore,
  type MemoryStore,
  type MemoryStoreOptions,
  matchesSubject,
} from './memoryStore.ts';
import { malformedProblem } from './problems.ts';

export {
  type BusClock,
  createMemoryStore,
  type MemoryStore,
  type MemoryStoreOptions,
} from './memoryStore.ts';

export interface MemoryBusOptions {
  /** `ce-source` of what this handle publishes; also its name for `setReachable`. */
  readonly source: string;
  /** Gives each event its id; default: random UUIDs. The simulation passes a seeded one. */
  readonly newId?: () => string;
  /** Epoch ms by which this handle dates what it publishes; default: the store's clock. */
  readonly nowMs?: () => number;
  /** What a subscriber threw, or what else went wrong without a caller to tell it to. */
  readonly onProblem?: (problem: Error) => void;
}

/** A bus on a store of its own: enough for a test of one service. */
export function createMemoryBus(options: Partial<MemoryBusOptions> & MemoryStoreOptions = {}): Bus {
  return openMemoryBus(createMemoryStore(options), { source: 'memory', ...options });
}

/**
 * Opens a handle on a store; the handles of one store see each other's events. Events go through the codec as
 * on the real bus. Delivery is asynchronous (microtasks), in stream order, and the same in every run.
 */
export function openMemoryBus(store: MemoryStore, options: MemoryBusOptions): Bus {
  const { source, newId = randomUUID, onProblem = () => undefined } = options;
  const { clock } = store;
  const { nowMs = clock.now } = options;
  const subscriptions = new Set<Subscription>();
  const publishing = new Set<Promise<PublishAck>>();
  const closing = new AbortController();
  const context = { store, source, onProblem, closing: closing.signal };
  let closed = false;

  const refuseWhenClosed = () => {
    if (closed) throw new BusClosedError();
  };
  const keep = (subscription: Subscription): Subscription => {
    subscriptions.add(subscription);
    return {
      get lastSequence() {
        return subscription.lastSequence;
      },
      async stop() {
        subscriptions.delete(subscription);
        await subscription.stop();
      },
    };
  };

  const storeOne = async (event: Parameters<Bus['publish']>[0], publishOptions: PublishOptions) => {
    const encoded = encode(event, { id: newId(), source, timeMs: nowMs() });
    const { timeoutMs, expectedLastSubjectSequence } = publishOptions;
    await untilReachable(store, source, closing.signal, timeoutMs, encoded.subject);
    return store.append(encoded, expectedLastSubjectSequence);
  };
  const reachable = () => untilReachable(store, source, closing.signal, undefined, 'a request');

  return {
    async publish(event, publishOptions = {}) {
      refuseWhenClosed();
      const ack = storeOne(event, publishOptions);
      publishing.add(ack);
      try {
        return await ack;
      } finally {
        publishing.delete(ack);
      }
    },
    async subscribe(subscribeOptions) {
      refuseWhenClosed();
      await reachable();
      return keep(subscribeMemory(context, subscribeOptions));
    },
    async subscribeDurable(durableOptions) {
      refuseWhenClosed();
      await reachable();
      return keep(subscribeMemoryDurable(context, durableOptions));
    },
    async *history(stream: StreamName, fromSequence: number, filter?: string) {
      refuseWhenClosed();
      await reachable();
      const end = store.lastSequence(stream);
      for (let at = Math.max(fromSequence, 1); at <= end; at += 1) {
        const message = store.read(stream, at);
        if (!message || !matchesSubject(filter, message.subject)) continue;
        const { decoded } = message;
        if (decoded.ok) yield decoded.event;
        else onProblem(malformedProblem(stream, decoded.malformed));
      }
    },
    async lastSequence(stream) {
      refuseWhenClosed();
      await reachable();
      return store.lastSequence(stream);
    },
    async lastOn(stream, subject) {
      refuseWhenClosed();
      await reachable();
      const decoded = store.read(stream, store.lastOnSubject(stream, subject))?.decoded;
      return decoded?.ok ? decoded.event : undefined;
    },
    async eventAt(stream, sequence) {
      refuseWhenClosed();
      await reachable();
      const decoded = store.read(stream, sequence)?.decoded;
      return decoded?.ok ? decoded.event : undefined;
    },
    async firstSequence(stream) {
      refuseWhenClosed();
      await reachable();
      return store.firstSequence(stream);
    },
    async sequenceAt(stream, timeMs) {
      refuseWhenClosed();
      await reachable();
      return store.sequenceAt(stream, timeMs);
    },
    async limit(limits) {
      refuseWhenClosed();
      await reachable();
      store.limit(limits);
    },
    async loadSnapshot(key) {
      refuseWhenClosed();
      await reachable();
      const text = store.snapshots.get(key);
      return text === undefined ? undefined : (JSON.parse(text) as Snapshot);
    },
    async saveSnapshot(key, snapshot) {
      refuseWhenClosed();
      await reachable();
      store.snapshots.set(key, JSON.stringify(snapshot));
    },
    async ask(server, question, timeoutMs) {
      refuseWhenClosed();
      await untilReachable(store, source, closing.signal, timeoutMs, 'a question');
      const answerer = store.answerers.get(server);
      if (!answerer) throw new NobodyAnswersError(server);
      return new Promise((resolve, reject) => {
        const late = () => reject(new BusTimeoutError('a question', timeoutMs));
        const cancel = clock.after(timeoutMs, late);
        const done = (answer: unknown) => {
          cancel();
          resolve(asJson(answer));
        };
        // What it throws is no answer.
        answerer(asJson(question)).then(done, () => undefined);
      });
    },
    async answer(server, answerer) {
      refuseWhenClosed();
      store.answerers.set(server, answerer);
      const stop = async () => {
        if (store.answerers.get(server) === answerer) store.answerers.delete(server);
      };
      closing.signal.addEventListener('abort', stop, { once: true });
      return { stop };
    },
    get lostSinceMs() {
      return store.lostSinceMs(source);
    },
    async close(timeoutMs = 2_000) {
      if (closed) return;
      closed = true;
      await Promise.all([...subscriptions].map((subscription) => subscription.stop()));
      const cancel = clock.after(timeoutMs, () => closing.abort());
      await Promise.allSettled(publishing);
      cancel();
      closing.abort();
    },
  };
}

/** What the real bus would make of it. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null));
}

/** Resolves when `source` reaches the store; rejects when the handle closes or the caller's time is over. */
function untilReachable(
  store: MemoryStore,
  source: string,
  closing: AbortSignal,
  timeoutMs: number | undefined,
  what: string,
): Promise<void> {
  if (closing.aborted) return Promise.reject(new BusClosedError());
  if (store.lostSinceMs(source) === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const finish = (error?: Error) => {
      stopWatching();
      cancelTimer?.();
      closing.removeEventListener('abort', onClosing);
      if (error) reject(error);
      else resolve();
    };
    const onClosing = () => finish(new BusClosedError());
    const stopWatching = store.watch(() => {
      if (store.lostSinceMs(source) === undefined) finish();
    });
    const cancelTimer =
      timeoutMs === undefined
        ? undefined
        : store.clock.after(timeoutMs, () => finish(new BusTimeoutError(what, timeoutMs)));
    closing.addEventListener('abort', onClosing);
  });
}
