import {
  type Msg,
  type MsgHdrs,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
} from '@nats-io/transport-node';
import type { StoredMessage } from '../../events/mod.ts';

/** What a JetStream delivery says of itself in its reply subject (NATS ADR-15). */
export interface Delivery {
  /** Counts the deliveries of this message, from 1. */
  readonly tries: number;
  readonly streamSequence: number;
  /** Counts the deliveries of the consumer, from 1 and without a gap. */
  readonly consumerSequence: number;
  /** When the stream stored it: nanoseconds since the epoch, more than a number holds. */
  readonly storedNs: string;
  /** How many messages the consumer still has to deliver after this one. */
  readonly pending: number;
}

/** Reads `$JS.ACK.…`: 9 tokens, or from 11 with domain and account. Undefined for all other subjects. */
export function parseDelivery(reply: string | undefined): Delivery | undefined {
  if (!reply?.startsWith('$JS.ACK.')) return undefined;
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 4 : 6;
  return {
    tries: Number(tokens[at]),
    streamSequence: Number(tokens[at + 1]),
    consumerSequence: Number(tokens[at + 2]),
    storedNs: tokens[at + 3] ?? '0',
    pending: Number(tokens[at + 4]),
  };
}

/** A delivered message in the shape the codec reads. */
export function toStored(message: Msg, { streamSequence, storedNs }: Delivery): StoredMessage {
  return {
    subject: message.subject,
    sequence: streamSequence,
    storedMs: Number(storedNs.slice(0, -6)),
    payload: message.data,
    header: (name) => headerOf(message.headers, name),
  };
}

/** The client's `get` copies all keys for each look-up; a stream of a million messages feels that. */
export function headerOf(headers: MsgHdrs | undefined, name: string): string {
  if (!headers) return '';
  for (const [key, values] of headers) if (key === name) return values[0] ?? '';
  return '';
}

/** True when the server refused what the rights of our user do not cover, as the client says it of a request. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof PermissionViolationError) return true;
  return error instanceof Error && error.cause !== undefined && isRefusal(error.cause);
}

/** True when nobody is there who could answer, as the client says it of a request. */
export function isNobody(error: unknown): boolean {
  if (error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders()))
    return true;
  return error instanceof Error && error.cause !== undefined && isNobody(error.cause);
}
