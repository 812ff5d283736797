import type { MalformedEvent, RecordedEvent } from '../events/mod.ts';
import type { DurableOptions, StartAt, SubscribeOptions, Subscription } from './bus.ts';
import { type DurablePosition, type MemoryStore, matchesSubject, subjectMatcher } from './memoryStore.ts';
import { startsPastEnd, subscriberProblem } from './problems.ts';
import { redeliveryDelayMs } from './redelivery.ts';

export interface ConsumerContext {
  readonly store: MemoryStore;
  readonly source: string;
  readonly onProblem: (problem: Error) => void;
}

/** Ordered consumption: a cursor that runs to the end of the stream whenever something is stored. */
export function subscribeMemory(context: ConsumerContext, options: SubscribeOptions): Subscription {
  const { store, source, onProblem } = context;
  const { stream } = options;
  const fits = subjectMatcher(options.filter);
  let next = firstSequenceOf(context, options.startAt, options);
  let lastSequence = 0;
  let stopped = false;
  let scheduled = false;

  const run = () => {
    scheduled = false;
    while (!stopped && next <= store.lastSequence(stream) && store.lostSinceMs(source) === undefined) {
      next = Math.max(next, store.firstSequence(stream));
      const message = store.read(stream, next);
      next += 1;
      if (!message || !fits(message.subject)) continue;
      lastSequence = message.sequence;
      const { decoded } = message;
      try {
        if (decoded.ok) options.onEvent(decoded.event);
        else options.onMalformed?.(decoded.malformed);
      } catch (error) {
        onProblem(subscriberProblem(message, error));
      }
    }
  };
  const wake = () => {
    if (scheduled || stopped) return;
    scheduled = true;
    queueMicrotask(run);
  };
  const unwatch = store.watch(wake);
  wake();
  return {
    get lastSequence() {
      return lastSequence;
    },
    async stop() {
      stopped = true;
      unwatch();
    },
  };
}

function firstSequenceOf(
  { store, onProblem }: ConsumerContext,
  startAt: StartAt,
  { stream }: Pick<SubscribeOptions, 'stream'>,
): number {
  const end = store.lastSequence(stream) + 1;
  if (startAt === 'beginning') return 1;
  if (startAt === 'new') return end;
  if ('sequence' in startAt) {
    if (startAt.sequence <= end) return startAt.sequence;
    onProblem(startsPastEnd(stream, startAt.sequence, end - 1));
    return end;
  }
  let sequence = store.firstSequence(stream);
  while (sequence < end && (store.read(stream, sequence)?.storedMs ?? 0) < startAt.sinceMs) sequence += 1;
  return sequence;
}

/** At-least-once consumption: the position and what is not acknowledged live in the store, under the name. */
export function subscribeMemoryDurable(context: ConsumerContext, options: DurableOptions): Subscription {
  const { store, source, onProblem } = context;
  const { stream, filter, name } = options;
  const key = `${stream} ${name}`;
  const position: DurablePosition = store.durables.get(key) ?? {
    next: firstSequenceOf(context, options.startAt, options),
    unacked: new Map(),
  };
  store.durables.set(key, position);
  let lastSequence = 0;
  let stopped = false;
  let running: Promise<void> | undefined;
  let cancelTimer: (() => void) | undefined;

  const take = (): number | undefined => {
    const nowMs = store.clock.now();
    for (const [sequence, entry] of position.unacked)
      if (!entry.inHand && entry.dueMs <= nowMs) return sequence;
    while (position.next <= store.lastSequence(stream)) {
      const sequence = position.next;
      position.next += 1;
      const message = store.read(stream, sequence);
      if (!message || !matchesSubject(filter, message.subject)) continue;
      position.unacked.set(sequence, { tries: 0, dueMs: nowMs, inHand: false });
      return sequence;
    }
    return undefined;
  };

  const handle = async (sequence: number): Promise<void> => {
    const message = store.read(stream, sequence);
    const entry = position.unacked.get(sequence);
    if (!message || !entry) {
      position.unacked.delete(sequence);
      return;
    }
    entry.inHand = true;
    lastSequence = Math.max(lastSequence, sequence);
    try {
      const { decoded } = message;
      if (decoded.ok) await options.onEvent(decoded.event as RecordedEvent);
      else options.onMalformed?.(decoded.malformed as MalformedEvent);
      position.unacked.delete(sequence);
    } catch (error) {
      onProblem(subscriberProblem(message, error));
      entry.tries += 1;
      entry.dueMs = store.clock.now() + redeliveryDelayMs(entry.tries);
      entry.inHand = false;
    }
  };

  const run = async (): Promise<void> => {
    while (!stopped && store.lostSinceMs(source) === undefined) {
      const sequence = take();
      if (sequence === undefined) break;
      await handle(sequence);
    }
    running = undefined;
    scheduleRedelivery();
  };
  const scheduleRedelivery = () => {
    cancelTimer?.();
    cancelTimer = undefined;
    const waiting = [...position.unacked.values()].filter((entry) => !entry.inHand);
    if (stopped || waiting.length === 0) return;
    const dueMs = Math.min(...waiting.map((entry) => entry.dueMs));
    cancelTimer = store.clock.after(Math.max(0, dueMs - store.clock.now()), wake);
  };
  const wake = () => {
    if (running || stopped || store.lostSinceMs(source) !== undefined) return;
    running = Promise.resolve().then(run);
  };
  const unwatch = store.watch(wake);
  wake();
  return {
    get lastSequence() {
      return lastSequence;
    },
    async stop() {
      stopped = true;
      unwatch();
      cancelTimer?.();
      await running;
    },
  };
}
