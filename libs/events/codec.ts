import { TypeCompiler } from '@sinclair/typebox/compiler';
import {
  catalog,
  type EventContext,
  type EventDraft,
  type EventType,
  isEventType,
  type RecordedEvent,
} from './catalog.ts';
import { streamOf, subjectOf } from './subjects.ts';
import { upcast } from './upcast.ts';

/**
 * CloudEvents 1.0 in binary content mode over NATS headers: every context attribute is a `ce-` header,
 * percent-encoded (CloudEvents NATS protocol binding, 3.1.3); the data is JSON.
 */
export interface EncodedEvent {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
}

/** A message that is not an event we can trust, with what is wrong with it. */
export interface MalformedEvent {
  readonly subject: string;
  readonly sequence: number;
  readonly problem: string;
}

export type DecodeResult =
  | { readonly ok: true; readonly event: RecordedEvent }
  | { readonly ok: false; readonly malformed: MalformedEvent };

const typePrefix = 'nemuri.';
const maxPayloadBytes = 4 * 1024 * 1024;
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder('utf-8', { fatal: true });
const checks = new Map<EventType, ReturnType<typeof TypeCompiler.Compile>>();

function checkOf(type: EventType) {
  let check = checks.get(type);
  if (!check) {
    check = TypeCompiler.Compile(catalog[type].schema);
    checks.set(type, check);
  }
  return check;
}

function problemWith(type: EventType, data: unknown): string | undefined {
  const check = checkOf(type);
  if (check.Check(data)) return undefined;
  const first = check.Errors(data).First();
  return `${type}${first?.path ?? ''}: ${first?.message ?? 'does not match its schema'}`;
}

/**
 * Puts an event into a NATS message.
 * @throws Error naming type, key and rule when the data does not match the schema: a defect of the caller.
 */
export function encode(event: EventDraft, context: Omit<EventContext, 'version'>): EncodedEvent {
  const problem = problemWith(event.type, event.data);
  if (problem) throw new Error(`event refused: ${problem}`);
  const headers: Record<string, string> = {
    'ce-specversion': '1.0',
    'ce-id': encodeURI(context.id),
    'ce-type': `${typePrefix}${event.type}.v${catalog[event.type].version}`,
    'ce-source': encodeURI(context.source),
    'ce-time': new Date(context.timeMs).toISOString(),
    'ce-datacontenttype': 'application/json',
  };
  if (event.traceparent) headers.traceparent = event.traceparent;
  return { subject: subjectOf(event), headers, payload: textEncoder.encode(JSON.stringify(event.data)) };
}

/** What a stream hands out: the parts of a stored message. `header` looks a header up, '' when absent. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly payload: Uint8Array;
  header(name: string): string;
}

/** Reads an event back. Never throws: what can't be trusted comes back as `malformed`, to be reported and skipped. */
export function decode(message: StoredMessage): DecodeResult {
  try {
    return { ok: true, event: parse(message) };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { ok: false, malformed: { subject: message.subject, sequence: message.sequence, problem } };
  }
}

function parse(message: StoredMessage): RecordedEvent {
  const { type, version } = parseType(message.header('ce-type'));
  const timeMs = Date.parse(message.header('ce-time'));
  if (!Number.isFinite(timeMs)) throw new Error(`ce-time "${message.header('ce-time')}" is not a time`);
  const id = decodeURI(message.header('ce-id'));
  if (id === '') throw new Error('ce-id is missing');
  if (message.payload.byteLength > maxPayloadBytes)
    throw new Error(`payload has more than ${maxPayloadBytes} bytes`);
  const current = catalog[type].version;
  const data = upcast(type, JSON.parse(textDecoder.decode(message.payload)), version, current);
  const problem = problemWith(type, data);
  if (problem) throw new Error(problem);
  const traceparent = message.header('traceparent');
  const event = {
    type,
    data,
    id,
    timeMs,
    version: current,
    source: decodeURI(message.header('ce-source')),
    stream: streamOf(type),
    subject: message.subject,
    sequence: message.sequence,
    ...(traceparent ? { traceparent } : {}),
  } as RecordedEvent;
  const expectedSubject = subjectOf(event);
  if (expectedSubject !== message.subject) throw new Error(`${type} belongs on ${expectedSubject}`);
  return event;
}

function parseType(header: string): { type: EventType; version: number } {
  const match = /^nemuri\.([A-Za-z]+)\.v(\d{1,4})$/.exec(header);
  const name = match?.[1];
  if (!name || !isEventType(name)) throw new Error(`unknown event type "${header}"`);
  return { type: name, version: Number(match[2]) };
}
