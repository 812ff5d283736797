import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { decode, encode, streamOf } from '../events/mod.ts';
import {
  type Bus,
  BusClosedError,
  type PublishAck,
  type SubscribeOptions,
  type Subscription,
} from './bus.ts';
import { answerQuestions, askQuestion } from './jetstream/direct.ts';
import { subscribeDurably } from './jetstream/durable.ts';
import { type Link, openLink } from './jetstream/link.ts';
import type { JetStreamBusOptions } from './jetstream/options.ts';
import { publishEncoded } from './jetstream/publisher.ts';
import { openReader } from './jetstream/reader.ts';
import { readStored } from './jetstream/readStored.ts';
import { firstOf, sequenceAt, storedEvent } from './jetstream/sequences.ts';
import { loadSnapshot, saveSnapshot } from './jetstream/snapshots.ts';
import { ensureStreams } from './jetstream/streams.ts';
import { malformedProblem, subscriberProblem } from './problems.ts';

export { type BusFacts, type InspectOptions, inspectBus, type StreamFacts } from './jetstream/inspect.ts';
export type { BusLogin, JetStreamBusOptions } from './jetstream/options.ts';

/**
 * The event bus on NATS JetStream, from nats-server 2.9 on. Creates its streams and the bucket of snapshots.
 * Once open it never gives up: it reconnects for ever, and its subscriptions and publishes go on where they were.
 * @throws AuthorizationError or StreamRefusedError when the server refuses the credentials or the streams' limits
 * at the first connection.
 */
export async function connectJetStreamBus(options: JetStreamBusOptions): Promise<Bus> {
  const { firstConnectTimeoutMs } = options;
  const { link, firstUp } = openLink(options);
  try {
    await bounded(firstUp, firstConnectTimeoutMs);
  } catch (error) {
    await link.close();
    throw error;
  }
  // Refused later than that: there is nobody to throw it at.
  firstUp.catch(link.report);
  return createBus(link, options);
}

/** Settles as `work` does, but resolves after `timeoutMs` at the latest. */
async function bounded(work: Promise<unknown>, timeoutMs: number | undefined): Promise<void> {
  if (timeoutMs === undefined) return void (await work);
  const timer = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

function createBus(link: Link, options: JetStreamBusOptions): Bus {
  const { source, newId = randomUUID, quietCheckMs = 2_000 } = options;
  const subscriptions = new Set<Subscription>();
  const publishing = new Set<Promise<PublishAck>>();
  let closed = false;

  const refuseWhenClosed = () => {
    if (closed) throw new BusClosedError();
  };
  const keep = async (opening: Promise<Subscription>): Promise<Subscription> => {
    const subscription = await opening;
    subscriptions.add(subscription);
    if (closed) await subscription.stop();
    refuseWhenClosed();
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

  return {
    async publish(event, publishOptions = {}) {
      refuseWhenClosed();
      const encoded = encode(event, { id: newId(), source, timeMs: link.now() });
      const ack = publishEncoded(link, streamOf(event.type), encoded, publishOptions);
      publishing.add(ack);
      try {
        return await ack;
      } finally {
        publishing.delete(ack);
      }
    },
    async subscribe(subscribeOptions) {
      refuseWhenClosed();
      return keep(subscribeOrdered(link, subscribeOptions, quietCheckMs));
    },
    async subscribeDurable(durableOptions) {
      refuseWhenClosed();
      return keep(subscribeDurably(link, durableOptions));
    },
    async *history(stream, fromSequence, filter) {
      refuseWhenClosed();
      const startAt = { sequence: Math.max(1, fromSequence) };
      for await (const message of readStored(link, { stream, filter, startAt, quietCheckMs })) {
        const decoded = decode(message);
        if (decoded.ok) yield decoded.event;
        else link.report(malformedProblem(stream, decoded.malformed));
      }
    },
    async lastSequence(stream) {
      refuseWhenClosed();
      const { manager } = await link.whenUp();
      return (await link.guard(manager.streams.info(stream))).state.last_seq;
    },
    async lastOn(stream, subject) {
      refuseWhenClosed();
      return storedEvent(link, stream, { last_by_subj: subject });
    },
    async eventAt(stream, sequence) {
      refuseWhenClosed();
      return storedEvent(link, stream, { seq: sequence });
    },
    async firstSequence(stream) {
      refuseWhenClosed();
      const { manager } = await link.whenUp();
      return firstOf((await link.guard(manager.streams.info(stream))).state);
    },
    async sequenceAt(stream, timeMs) {
      refuseWhenClosed();
      return sequenceAt(link, stream, timeMs);
    },
    async limit(limits) {
      refuseWhenClosed();
      const { manager } = await link.whenUp();
      await link.guard(ensureStreams(manager, limits));
    },
    async loadSnapshot(key) {
      refuseWhenClosed();
      return loadSnapshot(link, key);
    },
    async saveSnapshot(key, snapshot) {
      refuseWhenClosed();
      await saveSnapshot(link, key, snapshot);
    },
    async ask(server, question, timeoutMs) {
      refuseWhenClosed();
      return askQuestion(link, server, question, timeoutMs);
    },
    async answer(server, answerer) {
      refuseWhenClosed();
      return answerQuestions(link, server, answerer);
    },
    get lostSinceMs() {
      return link.lostSinceMs;
    },
    get lostWhy() {
      return link.lostWhy;
    },
    async close(timeoutMs = 2_000) {
      if (closed) return;
      closed = true;
      const stopping = [...subscriptions].map((subscription) => subscription.stop());
      await bounded(Promise.allSettled([...publishing, ...stopping]), timeoutMs);
      await link.close();
    },
  };
}

async function subscribeOrdered(
  link: Link,
  options: SubscribeOptions,
  quietCheckMs: number,
): Promise<Subscription> {
  const { stream, filter, startAt, onEvent, onMalformed, onReplaced } = options;
  const reader = await openReader(link, {
    stream,
    filter,
    startAt,
    quietCheckMs,
    onReplaced,
    onMessage: (message) => {
      try {
        const decoded = decode(message);
        if (decoded.ok) onEvent(decoded.event);
        else onMalformed?.(decoded.malformed);
      } catch (error) {
        link.report(subscriberProblem(message, error));
      }
    },
  });
  return {
    get lastSequence() {
      return reader.lastSequence;
    },
    async stop() {
      reader.stop();
    },
  };
}
