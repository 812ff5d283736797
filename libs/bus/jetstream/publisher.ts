import { JetStreamApiError } from '@nats-io/jetstream';
import { headers, InvalidArgumentError, InvalidSubjectError, type MsgHdrs } from '@nats-io/transport-node';
import type { EncodedEvent, StreamName } from '../../events/mod.ts';
import {
  BusClosedError,
  BusRefusedError,
  BusTimeoutError,
  type PublishAck,
  type PublishOptions,
  StaleWriterError,
} from '../bus.ts';
import { messageOf } from '../problems.ts';
import type { Link, Session } from './link.ts';
import { duplicateWindowMs, requestTimeoutMs, retryMs } from './options.ts';
import { headerOf, isRefusal } from './protocol.ts';
import { readStored } from './readStored.ts';
import { hasApiCode } from './streams.ts';

/** "wrong last sequence", as old and new servers number it. */
const staleCodes = [10071, 10164];
/** The writer's clock and the server's may differ by this much. */
const clockMarginMs = 60_000;

interface Attempts {
  readonly event: EncodedEvent;
  readonly id: string;
  readonly stream: StreamName;
  readonly expected: number | undefined;
  readonly deadlineMs: number;
  readonly startedMs: number;
  /** When the first try began whose answer never came: the event may be stored. */
  unknownSinceMs: number | undefined;
}

/**
 * Stores one event, and tries until it is stored, refused, late or the link is closed. Every try carries the same
 * message id; where the stream's memory of ids may have ended, the stream itself is asked first.
 */
export async function publishEncoded(
  link: Link,
  stream: StreamName,
  event: EncodedEvent,
  options: PublishOptions,
): Promise<PublishAck> {
  const { timeoutMs, expectedLastSubjectSequence } = options;
  const startedMs = performance.now();
  const attempts: Attempts = {
    event,
    id: event.headers['ce-id'] ?? '',
    stream,
    expected: expectedLastSubjectSequence,
    deadlineMs: startedMs + (timeoutMs ?? Infinity),
    startedMs,
    unknownSinceMs: undefined,
  };
  const late = () => new BusTimeoutError(event.subject, timeoutMs ?? 0);
  let told = '';
  while (true) {
    if (remainingMs(attempts) <= 0) throw late();
    try {
      return await tryOnce(link, attempts);
    } catch (error) {
      if (link.isClosed) throw new BusClosedError({ cause: error });
      if (isFinal(error)) throw error;
      if (error instanceof BusTimeoutError) throw late();
      const problem = `${event.subject} is not stored yet: ${messageOf(error)}`;
      if (link.isUp && problem !== told) link.report(new Error(problem, { cause: error }));
      told = problem;
      if (link.isUp) await link.pause(Math.min(retryMs, remainingMs(attempts)));
    }
  }
}

function remainingMs({ deadlineMs }: Attempts): number {
  return deadlineMs - performance.now();
}

/** Refused for good: by the fence, the rights of our user, the schema of NATS itself, or a rule of the server (4xx). */
function isFinal(error: unknown): boolean {
  if (error instanceof StaleWriterError || error instanceof BusRefusedError) return true;
  if (error instanceof InvalidArgumentError || error instanceof InvalidSubjectError) return true;
  return error instanceof JetStreamApiError && error.status >= 400 && error.status < 500;
}

async function tryOnce(link: Link, attempts: Attempts): Promise<PublishAck> {
  const { event, expected, unknownSinceMs } = attempts;
  const session = await link.whenUp(finite(remainingMs(attempts)));
  const mayBeForgotten =
    unknownSinceMs !== undefined && performance.now() - unknownSinceMs > duplicateWindowMs / 2;
  if (mayBeForgotten) {
    const own = await findOwn(link, session, attempts);
    if (own !== undefined) return { sequence: own, duplicate: true };
  }
  const triedMs = performance.now();
  try {
    const ack = await link.guard(
      session.js.publish(event.subject, event.payload, {
        msgID: attempts.id,
        headers: headersOf(event),
        timeout: Math.max(1, Math.min(requestTimeoutMs, remainingMs(attempts))),
        ...(expected === undefined ? {} : { expect: { lastSubjectSequence: expected } }),
      }),
    );
    link.stored(attempts.stream);
    return { sequence: ack.seq, duplicate: ack.duplicate };
  } catch (error) {
    if (isRefusal(error)) throw new BusRefusedError(event.subject, { cause: error });
    if (!hasApiCode(error, ...staleCodes)) {
      attempts.unknownSinceMs ??= triedMs;
      if (link.isUp && !isFinal(error)) link.unstored(attempts.stream, error);
      throw error;
    }
    // After a try without an answer, the later event may be our own.
    const own = attempts.unknownSinceMs === undefined ? undefined : await findOwn(link, session, attempts);
    if (own === undefined)
      throw new StaleWriterError(event.subject, expected ?? 0, lastSequenceOf(error), { cause: error });
    return { sequence: own, duplicate: true };
  }
}

/** "wrong last sequence: 7" */
function lastSequenceOf(error: unknown): number | undefined {
  const [, text] = /: (\d+)$/.exec(messageOf(error)) ?? [];
  return text === undefined ? undefined : Number(text);
}

function finite(valueMs: number): number | undefined {
  return Number.isFinite(valueMs) ? Math.max(1, valueMs) : undefined;
}

function headersOf(event: EncodedEvent): MsgHdrs {
  const result = headers();
  for (const [name, value] of Object.entries(event.headers)) result.set(name, value);
  return result;
}

/** The sequence under which an earlier try of ours was stored. */
async function findOwn(link: Link, session: Session, attempts: Attempts): Promise<number | undefined> {
  const { event, id, stream, expected } = attempts;
  const last = await link.guard(session.manager.streams.getMessage(stream, { last_by_subj: event.subject }));
  if (!last) return undefined;
  if (headerOf(last.header, 'ce-id') === id) return last.seq;
  const sinceMs = link.now() - (performance.now() - attempts.startedMs) - clockMarginMs;
  const startAt = expected === undefined ? { sinceMs } : { sequence: expected + 1 };
  const filter = event.subject;
  for await (const message of readStored(link, { stream, filter, startAt, quietCheckMs: 2_000 }))
    if (message.header('ce-id') === id) return message.sequence;
  return undefined;
}
