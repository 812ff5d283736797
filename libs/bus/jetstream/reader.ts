import { AckPolicy, type ConsumerConfig, ReplayPolicy } from '@nats-io/jetstream';
import {
  type Msg,
  type MsgHdrs,
  type Subscription as NatsSubscription,
  nanos,
} from '@nats-io/transport-node';
import type { StoredMessage, StreamName } from '../../events/mod.ts';
import type { StartAt } from '../bus.ts';
import { messageOf } from '../problems.ts';
import type { Link, Session } from './link.ts';
import { retryMs } from './options.ts';
import { createPosition, type Position } from './position.ts';
import { type Delivery, parseDelivery, toStored } from './protocol.ts';

/**
 * An ordered reader of one stream: every message once, in order, whatever happens to the connection, the server or
 * the consumer. The client's own ordered consumer is not used: after the death of its server it was seen silent for
 * 30 s and for ever. Ours is a push consumer with flow control whose every delivery is counted; whenever the count,
 * the heartbeats or the stream's end disagree with what came, a new consumer is opened after the last message.
 */
export interface ReaderOptions {
  readonly stream: StreamName;
  readonly filter?: string | undefined;
  readonly startAt: StartAt;
  readonly quietCheckMs: number;
  /** `pending`: how many messages of ours the stream holds after this one. */
  readonly onMessage: (message: StoredMessage, pending: number) => void;
  /** The server waits for `resume` before it sends much more. Default: resumed at once. */
  readonly onFlowControl?: (resume: () => void) => void;
  /** See `SubscribeOptions`. */
  readonly onReplaced?: ((lastSequence: number) => 'all' | 'new') | undefined;
  /** A consumer was opened and the stream holds nothing more for it. */
  readonly onNothingPending?: () => void;
}

export interface Reader {
  readonly lastSequence: number;
  stop(): void;
}

interface ReaderState {
  readonly link: Link;
  readonly options: ReaderOptions;
  readonly position: Position;
  /** The stream's end for which it is known that nothing of ours is missing. */
  checkedSequence: number;
  consumer: OpenConsumer | undefined;
  opening: Promise<void> | undefined;
  openAgain: boolean;
  stopped: boolean;
}

/** One consumer and what came from it. */
interface OpenConsumer {
  readonly session: Session;
  readonly inbox: NatsSubscription;
  name: string;
  nextDelivery: number;
  heardMs: number;
  messageMs: number;
  waitingForResume: number;
}

const heartbeatMs = 1_000;

/** Opens a reader; resolves when its first consumer stands, or when the link is closed before. */
export async function openReader(link: Link, options: ReaderOptions): Promise<Reader> {
  const state: ReaderState = {
    link,
    options,
    position: createPosition(options.stream, options.startAt, link.report),
    checkedSequence: 0,
    consumer: undefined,
    opening: undefined,
    openAgain: false,
    stopped: false,
  };
  // A check that fails says that the bus is away; the link knows that too, and calls when it is back.
  const timer = setInterval(() => void check(state).catch(() => undefined), options.quietCheckMs / 2);
  const stopListening = link.onReturn(() => reopen(state));
  const stop = () => {
    state.stopped = true;
    clearInterval(timer);
    stopListening();
    discard(state);
  };
  reopen(state);
  await state.opening;
  if (link.isClosed) stop();
  return {
    get lastSequence() {
      return state.position.lastSequence;
    },
    stop,
  };
}

function reopen(state: ReaderState): void {
  if (state.stopped) return;
  state.openAgain = true;
  state.opening ??= openUntilDone(state).finally(() => {
    state.opening = undefined;
  });
}

async function openUntilDone(state: ReaderState): Promise<void> {
  const { link, options } = state;
  let told = '';
  while (!state.stopped && !link.isClosed) {
    state.openAgain = false;
    try {
      await openOnce(state);
      if (!state.openAgain) return;
    } catch (error) {
      const problem = messageOf(error);
      if (link.isUp && problem !== told)
        link.report(new Error(`${options.stream}: ${problem}`, { cause: error }));
      told = problem;
      await link.pause(retryMs);
    }
  }
}

async function openOnce(state: ReaderState): Promise<void> {
  const { link, options, position } = state;
  const session = await link.whenUp();
  discard(state);
  const info = await link.guard(session.manager.streams.info(options.stream));
  if (state.stopped) return;
  if (position.isReplaced(info)) {
    state.checkedSequence = 0;
    position.settle(info, options.onReplaced?.(info.state.last_seq) === 'all');
  } else position.settle(info);
  const consumer = listen(state, session);
  const config = consumerConfig(consumer.inbox.getSubject(), options.filter, position);
  const created = await link.guard(session.manager.consumers.add(options.stream, config));
  consumer.name = created.name;
  if (state.stopped) return discard(state, consumer);
  if (created.num_pending > 0 || created.delivered.consumer_seq > 0) return;
  state.checkedSequence = Math.max(state.checkedSequence, info.state.last_seq);
  options.onNothingPending?.();
}

function listen(state: ReaderState, session: Session): OpenConsumer {
  const nowMs = performance.now();
  const consumer: OpenConsumer = {
    session,
    inbox: session.nc.subscribe(session.newInbox(), {
      callback: (error, message) => {
        if (error) state.link.report(error);
        else if (state.consumer === consumer) receive(state, consumer, message);
      },
    }),
    name: '',
    nextDelivery: 1,
    heardMs: nowMs,
    messageMs: nowMs,
    waitingForResume: 0,
  };
  state.consumer = consumer;
  return consumer;
}

function receive(state: ReaderState, consumer: OpenConsumer, message: Msg): void {
  consumer.heardMs = performance.now();
  const delivery = parseDelivery(message.reply);
  if (delivery) accept(state, consumer, message, delivery);
  else if (message.headers?.code === 100 && message.reply) holdFlow(state, consumer, message.reply);
  else if (message.headers?.code === 100) hearHeartbeat(state, consumer, message.headers);
}

function accept(state: ReaderState, consumer: OpenConsumer, message: Msg, delivery: Delivery): void {
  if (delivery.consumerSequence !== consumer.nextDelivery) {
    // What follows would leave a gap: nothing more is taken from this consumer.
    discard(state);
    reopen(state);
    return;
  }
  consumer.nextDelivery += 1;
  consumer.messageMs = consumer.heardMs;
  if (!state.position.advance(delivery)) return;
  state.options.onMessage(toStored(message, delivery), delivery.pending);
}

/** A heartbeat repeats the flow control request that was never answered, and counts what was delivered. */
function hearHeartbeat(state: ReaderState, consumer: OpenConsumer, headers: MsgHdrs): void {
  const stalled = headers.get('Nats-Consumer-Stalled');
  if (stalled && consumer.waitingForResume === 0) holdFlow(state, consumer, stalled);
  else if (Number(headers.get('Nats-Last-Consumer') || 0) >= consumer.nextDelivery) reopen(state);
}

function holdFlow(state: ReaderState, consumer: OpenConsumer, reply: string): void {
  consumer.waitingForResume += 1;
  const resume = () => {
    consumer.waitingForResume -= 1;
    consumer.heardMs = performance.now();
    consumer.messageMs = consumer.heardMs;
    if (state.consumer === consumer && state.link.isUp) consumer.session.nc.publish(reply);
  };
  if (state.options.onFlowControl) state.options.onFlowControl(resume);
  else resume();
}

/** Compares what came with the stream itself, when nothing has come for a while. */
async function check(state: ReaderState): Promise<void> {
  const { link, options, position, consumer } = state;
  if (state.stopped || state.opening || !consumer || consumer.waitingForResume > 0 || !link.isUp) return;
  const nowMs = performance.now();
  if (nowMs - consumer.heardMs > heartbeatMs + options.quietCheckMs) return reopen(state);
  if (nowMs - consumer.messageMs < options.quietCheckMs) return;
  const { manager } = consumer.session;
  const lastBefore = position.lastSequence;
  const info = await link.guard(manager.streams.info(options.stream));
  if (position.isReplaced(info)) return reopen(state);
  const known = Math.max(lastBefore, state.checkedSequence);
  if (info.state.last_seq <= known) return;
  const last = options.filter
    ? await link.guard(manager.streams.getMessage(options.stream, { last_by_subj: options.filter }))
    : undefined;
  const isBehind = options.filter === undefined || (last?.seq ?? 0) > known;
  if (!isBehind) state.checkedSequence = info.state.last_seq;
  else if (position.lastSequence === lastBefore) reopen(state);
}

function consumerConfig(
  inbox: string,
  filter: string | undefined,
  position: Position,
): Partial<ConsumerConfig> {
  return {
    deliver_subject: inbox,
    ack_policy: AckPolicy.None,
    replay_policy: ReplayPolicy.Instant,
    flow_control: true,
    idle_heartbeat: nanos(heartbeatMs),
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(5_000),
    ...(filter === undefined ? {} : { filter_subject: filter }),
    ...position.startConfig(),
  };
}

/** Best effort: a consumer that is left behind ends by itself after `inactive_threshold`. */
function discard(state: ReaderState, consumer = state.consumer): void {
  state.consumer = undefined;
  if (!consumer) return;
  consumer.inbox.unsubscribe();
  const { link, options } = state;
  if (link.isUp && consumer.name)
    consumer.session.manager.consumers.delete(options.stream, consumer.name).catch(() => undefined);
}
