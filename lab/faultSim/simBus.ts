import {
  type Bus,
  BusTimeoutError,
  type MemoryStore,
  NobodyAnswersError,
  openMemoryBus,
  type PublishOptions,
  type SubscribeOptions,
  type Subscription,
} from '../../libs/bus/mod.ts';
import type { StreamName } from '../../libs/events/mod.ts';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** How the network between one process and the bus is now. The fault plan changes it. */
export interface Link {
  /** One way, in ms: between these, drawn for each message. */
  delayMs: { min: number; max: number };
  /** Share of the answers to a publish that come late, by up to `lateAckMs`: the publisher may have given up by then. */
  lateAckShare: number;
  lateAckMs: number;
}

export const goodLink = (): Link => ({ delayMs: { min: 1, max: 8 }, lateAckShare: 0, lateAckMs: 0 });

export interface SimBusOptions {
  readonly store: MemoryStore;
  readonly scheduler: Scheduler;
  readonly process: SimProcess;
  /** The world's randomness: the process has its own. */
  readonly random: () => number;
  readonly link: Link;
  readonly onProblem: (problem: Error) => void;
}

/** What a killed process had sent already may still arrive so long. */
const afterlifeMs = 30;

/**
 * The in-memory bus behind a network: every message takes its time, each way; what a subscriber gets stays in order;
 * publishes of one process may overtake each other, as JetStream lets them; a process that is gone hears nothing more.
 */
export function openSimBus(options: SimBusOptions): { readonly bus: Bus; readonly kill: () => void } {
  const { store, scheduler, process, random, link } = options;
  const { name: source, clock } = process;
  const inner = openMemoryBus(store, {
    source,
    newId: process.chance.newId,
    nowMs: clock.nowMs,
    onProblem: options.onProblem,
  });
  let lostSinceMs: number | undefined;
  const follow = () => {
    const isLost = store.lostSinceMs(source) !== undefined;
    lostSinceMs = isLost ? (lostSinceMs ?? clock.nowMs()) : undefined;
  };
  follow();
  const unwatch = store.watch(follow);
  const delayMs = () => link.delayMs.min + random() * (link.delayMs.max - link.delayMs.min);

  /** Sends a request after one delay and brings its answer back after another. */
  const call = <T>(work: () => Promise<T>, timeoutMs?: number, what = 'a request', lateMs = 0): Promise<T> =>
    new Promise((resolve, reject) => {
      const cancel =
        timeoutMs === undefined
          ? () => undefined
          : clock.after(timeoutMs, () => reject(new BusTimeoutError(what, timeoutMs)));
      const back = (settle: () => void) =>
        scheduler.after(delayMs() + lateMs, () =>
          process.deliver(() => {
            cancel();
            settle();
          }),
        );
      scheduler.after(delayMs(), () => {
        work().then(
          (value) => back(() => resolve(value)),
          (error) => back(() => reject(error)),
        );
      });
    });

  const bus: Bus = {
    publish(event, publishOptions: PublishOptions = {}) {
      const lateMs = random() < link.lateAckShare ? random() * link.lateAckMs : 0;
      const { timeoutMs } = publishOptions;
      return call(() => inner.publish(event, publishOptions), timeoutMs, event.type, lateMs);
    },
    async subscribe(subscribeOptions) {
      const line = createLine(options, delayMs);
      const behind: SubscribeOptions = {
        ...subscribeOptions,
        onEvent: (event) => line.push(() => subscribeOptions.onEvent(event)),
        onMalformed: (malformed) => line.push(() => subscribeOptions.onMalformed?.(malformed)),
      };
      const subscription = await call(() => inner.subscribe(behind));
      return stoppable(subscription, line);
    },
    subscribeDurable: () => Promise.reject(new Error('no service of the simulation has a durable consumer')),
    async *history(stream: StreamName, fromSequence: number, filter?: string) {
      await call(() => Promise.resolve());
      let count = 0;
      for await (const event of inner.history(stream, fromSequence, filter)) {
        count += 1;
        if (count % 50 === 0) await call(() => Promise.resolve());
        yield event;
      }
    },
    lastSequence: (stream) => call(() => inner.lastSequence(stream)),
    lastOn: (stream, subject) => call(() => inner.lastOn(stream, subject)),
    eventAt: (stream, sequence) => call(() => inner.eventAt(stream, sequence)),
    firstSequence: (stream) => call(() => inner.firstSequence(stream)),
    sequenceAt: (stream, timeMs) => call(() => inner.sequenceAt(stream, timeMs)),
    limit: (limits) => call(() => inner.limit(limits)),
    loadSnapshot: (key) => call(() => inner.loadSnapshot(key)),
    saveSnapshot: (key, snapshot) => call(() => inner.saveSnapshot(key, snapshot)),
    ask: (server, question, timeoutMs) =>
      call(
        () =>
          store.answerers.has(server)
            ? inner.ask(server, question, timeoutMs)
            : Promise.reject(new NobodyAnswersError(server)),
        timeoutMs,
        'a question',
      ),
    answer: (server, answerer) =>
      call(() =>
        inner.answer(
          server,
          (question) => new Promise((resolve) => process.deliver(() => resolve(answerer(question)))),
        ),
      ),
    get lostSinceMs() {
      return lostSinceMs;
    },
    async close() {
      unwatch();
      await inner.close(0);
    },
  };
  const kill = () => {
    unwatch();
    scheduler.after(afterlifeMs, () => void inner.close(0));
  };
  return { bus, kill };
}

interface Line {
  push(callback: () => void): void;
  close(): void;
}

/** Whatever comes waits its delay, and leaves in the order in which it came. */
function createLine({ scheduler, process, onProblem }: SimBusOptions, delayMs: () => number): Line {
  let queue: { readonly dueMs: number; readonly callback: () => void }[] = [];
  let lastDueMs = 0;
  let scheduled = false;
  let closed = false;

  const run = () => {
    scheduled = false;
    for (let next = queue[0]; next && !closed && process.alive; next = queue[0]) {
      if (next.dueMs > scheduler.nowMs()) break;
      queue.shift();
      try {
        next.callback();
      } catch (error) {
        onProblem(new Error('a subscriber threw', { cause: error }));
      }
    }
    schedule();
  };
  const schedule = () => {
    const next = queue[0];
    if (!next || scheduled || closed) return;
    scheduled = true;
    scheduler.after(next.dueMs - scheduler.nowMs(), () => process.deliver(run));
  };
  return {
    push(callback) {
      lastDueMs = Math.max(lastDueMs, scheduler.nowMs() + delayMs());
      queue.push({ dueMs: lastDueMs, callback });
      schedule();
    },
    close() {
      closed = true;
      queue = [];
    },
  };
}

function stoppable(subscription: Subscription, line: Line): Subscription {
  return {
    get lastSequence() {
      return subscription.lastSequence;
    },
    async stop() {
      line.close();
      await subscription.stop();
    },
  };
}
