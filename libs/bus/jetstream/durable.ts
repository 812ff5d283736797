import { AckPolicy, JetStreamApiCodes, ReplayPolicy } from '@nats-io/jetstream';
import { createInbox, type Msg, nanos } from '@nats-io/transport-node';
import { decode } from '../../events/mod.ts';
import type { DurableOptions, Subscription } from '../bus.ts';
import { messageOf, subscriberProblem } from '../problems.ts';
import { redeliveryDelayMs } from '../redelivery.ts';
import type { Link, Session } from './link.ts';
import { retryMs } from './options.ts';
import { startOf } from './position.ts';
import { type Delivery, parseDelivery, toStored } from './protocol.ts';
import { hasApiCode } from './streams.ts';

const ackWaitMs = 10_000;
const batchMessages = 50;
const pullWaitMs = 5_000;

interface DurableState {
  readonly link: Link;
  readonly options: DurableOptions;
  lastSequence: number;
  stopped: boolean;
  /** Ends the wait for a pull's messages. */
  endPull: () => void;
}

/**
 * At-least-once consumption by a durable pull consumer. Its position is the server's; a rejected event is delivered
 * again after a growing delay, and others may overtake it meanwhile. Several processes under one name share the work.
 */
export async function subscribeDurably(link: Link, options: DurableOptions): Promise<Subscription> {
  const state: DurableState = {
    link,
    options,
    lastSequence: 0,
    stopped: false,
    endPull: () => undefined,
  };
  await ensureConsumer(link, await link.whenUp(), options);
  const running = run(state);
  return {
    get lastSequence() {
      return state.lastSequence;
    },
    async stop() {
      state.stopped = true;
      state.endPull();
      await running;
    },
  };
}

async function ensureConsumer(link: Link, session: Session, options: DurableOptions): Promise<void> {
  const { stream, name, filter, startAt } = options;
  const { consumers } = session.manager;
  try {
    const { config } = await link.guard(consumers.info(stream, name));
    if ((config.filter_subject || undefined) !== filter)
      await link.guard(consumers.update(stream, name, { filter_subject: filter ?? '' }));
  } catch (error) {
    if (!hasApiCode(error, JetStreamApiCodes.ConsumerNotFound)) throw error;
    const end = (await link.guard(session.manager.streams.info(stream))).state.last_seq;
    await link.guard(
      consumers.add(stream, {
        durable_name: name,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(ackWaitMs),
        replay_policy: ReplayPolicy.Instant,
        max_ack_pending: 1_000,
        ...(filter === undefined ? {} : { filter_subject: filter }),
        ...startOf(startAt === 'new' ? { sequence: end + 1 } : startAt),
      }),
    );
  }
}

async function run(state: DurableState): Promise<void> {
  const { link, options } = state;
  let told = '';
  let ensured: Session | undefined;
  while (!state.stopped && !link.isClosed) {
    try {
      const session = await link.whenUp();
      if (session !== ensured) await ensureConsumer(link, session, options);
      ensured = session;
      const messages = (await pull(state, session, true)) || [];
      if (messages.length === 0 && !state.stopped) messages.push(...(await pull(state, session, false)));
      await handleAll(state, session, messages);
      told = '';
    } catch (error) {
      ensured = undefined;
      const problem = `${options.name} on ${options.stream}: ${messageOf(error)}`;
      if (link.isUp && problem !== told) link.report(new Error(problem, { cause: error }));
      told = problem;
      await link.pause(retryMs);
    }
  }
}

/**
 * One pull request: at once what is there, or the first message to come. Ends with a status message, the last
 * message, the loss of the connection, or its own time; what came until then is returned.
 */
function pull(state: DurableState, session: Session, atOnce: boolean): Promise<Msg[]> {
  const { link, options } = state;
  const messages: Msg[] = [];
  const wanted = atOnce ? batchMessages : 1;
  return new Promise((resolve, reject) => {
    const finish = (error?: Error) => {
      clearTimeout(timer);
      stopReturn();
      stopClose();
      inbox.unsubscribe();
      state.endPull = () => undefined;
      if (error && messages.length === 0) reject(error);
      else resolve(messages);
    };
    const inbox = session.nc.subscribe(createInbox(), {
      callback: (error, message) => {
        if (error) return finish(error);
        if (parseDelivery(message.reply)) {
          messages.push(message);
          if (messages.length === wanted) finish();
          return;
        }
        const code = message.headers?.code ?? 0;
        // 404: nothing there. 408: the time is over. The others say that the consumer is gone or refuses.
        if (code === 404 || code === 408) finish();
        else if (code !== 100) finish(new Error(message.headers?.description || `status ${code}`));
      },
    });
    const timer = setTimeout(finish, pullWaitMs + 1_000);
    const stopReturn = link.onReturn(() => finish());
    const stopClose = link.onClose(() => finish());
    state.endPull = () => finish();
    const request = atOnce ? { batch: wanted, no_wait: true } : { batch: wanted, expires: nanos(pullWaitMs) };
    const subject = `${session.js.apiPrefix}.CONSUMER.MSG.NEXT.${options.stream}.${options.name}`;
    session.nc.publish(subject, JSON.stringify(request), { reply: inbox.getSubject() });
  });
}

async function handleAll(state: DurableState, session: Session, messages: readonly Msg[]): Promise<void> {
  const waiting = new Set(messages);
  // While one event takes its time, the server must not think that the others are lost.
  const keepAlive = setInterval(() => {
    for (const message of waiting) answer(state, session, message, '+WPI');
  }, ackWaitMs / 3);
  try {
    for (const message of messages) {
      if (state.stopped) answer(state, session, message, '-NAK');
      else await handle(state, session, message);
      waiting.delete(message);
    }
  } finally {
    clearInterval(keepAlive);
  }
}

async function handle(state: DurableState, session: Session, message: Msg): Promise<void> {
  const { options, link } = state;
  const delivery = parseDelivery(message.reply) as Delivery;
  const stored = toStored(message, delivery);
  state.lastSequence = Math.max(state.lastSequence, delivery.streamSequence);
  try {
    const decoded = decode(stored);
    if (decoded.ok) await options.onEvent(decoded.event);
    else options.onMalformed?.(decoded.malformed);
    answer(state, session, message, '+ACK');
  } catch (error) {
    link.report(subscriberProblem(stored, error));
    const delay = nanos(redeliveryDelayMs(delivery.tries));
    answer(state, session, message, `-NAK ${JSON.stringify({ delay })}`);
  }
}

/** An answer that does not arrive is made up for by `ack_wait`: the event is delivered again. */
function answer({ link }: DurableState, session: Session, message: Msg, text: string): void {
  if (message.reply && !session.nc.isClosed() && link.isUp) session.nc.publish(message.reply, text);
}
