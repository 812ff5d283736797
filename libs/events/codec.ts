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
import { complete, upcast } from './upcast.ts';

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
  if (context.id === '' || context.source === '') throw new Error('event refused: id or source is empty');
  const payload = textEncoder.encode(JSON.stringify(event.data));
  if (payload.byteLength > maxPayloadBytes)
    throw new Error(`event refused: payload has more than ${maxPayloadBytes} bytes`);
  const headers: Record<string, string> = {
    'ce-specversion': '1.0',
    'ce-id': encodeURI(context.id),
    'ce-type': typeNameOf(event.type),
    'ce-source': encodeURI(context.source),
    'ce-time': new Date(context.timeMs).toISOString(),
    'ce-datacontenttype': 'application/json',
  };
  if (event.traceparent) headers.traceparent = event.traceparent;
  return { subject: subjectOf(event), headers, payload };
}

/** The CloudEvents type of an event that is written today: `nemuri.<Type>.v<version>`. */
export function typeNameOf(type: EventType): string {
  return `${typePrefix}${type}.v${catalog[type].version}`;
}

/** What a stream hands out: the parts of a stored message. `header` looks a header up, '' when absent. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** When the stream stored it: epoch ms by its own clock. */
  readonly storedMs: number;
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
  const specVersion = message.header('ce-specversion');
  if (specVersion !== '1.0') throw new Error(`ce-specversion "${specVersion}" is not 1.0`);
  const { type, version } = parseType(message.header('ce-type'));
  const timeMs = parseTime(message.header('ce-time'));
  const id = parseText(message, 'ce-id');
  const source = parseText(message, 'ce-source');
  if (message.payload.byteLength > maxPayloadBytes)
    throw new Error(`payload has more than ${maxPayloadBytes} bytes`);
  const current = catalog[type].version;
  const data = complete(type, upcast(type, parseJson(message.payload), version, current));
  const problem = problemWith(type, data);
  if (problem) throw new Error(problem);
  const traceparent = message.header('traceparent');
  const event = {
    type,
    data,
    id,
    timeMs,
    version: current,
    source,
    stream: streamOf(type),
    subject: message.subject,
    sequence: message.sequence,
    storedMs: message.storedMs,
    ...(traceparent ? { traceparent } : {}),
  } as RecordedEvent;
  const expectedSubject = subjectOf(event);
  if (expectedSubject !== message.subject) throw new Error(`${type} belongs on ${expectedSubject}`);
  return event;
}

/** A percent-encoded attribute that must be there. */
function parseText(message: StoredMessage, name: string): string {
  const text = message.header(name);
  if (text === '') throw new Error(`${name} is missing`);
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(`${name} "${text}" is not percent-encoded UTF-8`);
  }
}

/** RFC 3339, as CloudEvents asks for. `Date.parse` alone takes much more. */
function parseTime(text: string): number {
  const isTimestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const timeMs = isTimestamp ? Date.parse(text) : Number.NaN;
  if (!Number.isFinite(timeMs)) throw new Error(`ce-time "${text}" is not a time`);
  return timeMs;
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(textDecoder.decode(payload));
  } catch {
    throw new Error('payload is not JSON in UTF-8');
  }
}

function parseType(header: string): { type: EventType; version: number } {
  const match = /^nemuri\.([A-Za-z]+)\.v(\d{1,4})$/.exec(header);
  const name = match?.[1];
  if (!name || !isEventType(name)) throw new Error(`unknown event type "${header}"`);
  return { type: name, version: Number(match[2]) };
}
