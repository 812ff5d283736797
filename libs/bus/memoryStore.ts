import { decode, type EncodedEvent, type StreamName, streams } from '../events/mod.ts';
import { type PublishAck, StaleWriterError, type StreamLimits } from './bus.ts';

/** Time for the in-memory bus: the simulation passes its own. */
export interface BusClock {
  /** Epoch milliseconds. */
  now(): number;
  /** Calls back once after `delayMs`; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface MemoryStoreOptions {
  readonly clock?: BusClock;
  /** Older events are forgotten. Defaults: FLEET never, TELEMETRY after 24 h. */
  readonly maxAgeMs?: Partial<Record<StreamName, number>>;
  /** The oldest events beyond this many are forgotten. Defaults: FLEET 1,000,000, TELEMETRY 200,000. */
  readonly maxEvents?: Partial<Record<StreamName, number>>;
}

type DecodeResult = ReturnType<typeof decode>;

export interface MemoryMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly storedMs: number;
  /** Decoded once and frozen: readers share it, as readers of the real bus never do. */
  readonly decoded: DecodeResult;
}

/** Where a durable consumer stands: `next` is the first sequence never given out; `unacked` maps to the tries so far. */
export interface DurablePosition {
  next: number;
  readonly unacked: Map<number, { tries: number; dueMs: number; inHand: boolean }>;
}

/** What the handles of one bus share. */
export interface MemoryStore {
  readonly clock: BusClock;
  /** @throws StaleWriterError when `expectedLastSubjectSequence` is not the last one on the subject. */
  append(event: EncodedEvent, expectedLastSubjectSequence?: number): PublishAck;
  /** For tests: stores any message, also one that is no event. Returns its sequence. */
  putRaw(message: EncodedEvent): number;
  /** For tests and the simulation: the bus goes away and returns, for everyone or for the handles of one source. */
  setReachable(reachable: boolean, source?: string): void;
  lostSinceMs(source: string): number | undefined;
  lastSequence(stream: StreamName): number;
  firstSequence(stream: StreamName): number;
  /** 0: none. */
  lastOnSubject(stream: StreamName, subject: string): number;
  /** Ages only: memory is bounded by the number of events. */
  limit(limits: StreamLimits): void;
  /** The last sequence stored at or before this time. */
  sequenceAt(stream: StreamName, timeMs: number): number;
  read(stream: StreamName, sequence: number): MemoryMessage | undefined;
  /** Called after each stored message and each change of reachability. Returns what ends it. */
  watch(onChange: () => void): () => void;
  /** Who answers for which server. */
  readonly answerers: Map<string, (question: unknown) => Promise<unknown>>;
  readonly snapshots: Map<string, string>;
  readonly durables: Map<string, DurablePosition>;
}

const systemClock: BusClock = {
  now: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

const dayMs = 24 * 60 * 60 * 1000;

/** Creates an empty in-memory event store with the streams of the real one. */
export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const { clock = systemClock } = options;
  const logs: Record<StreamName, StreamLog> = {
    FLEET: createLog(options.maxAgeMs?.FLEET ?? Infinity, options.maxEvents?.FLEET ?? 1_000_000),
    TELEMETRY: createLog(options.maxAgeMs?.TELEMETRY ?? dayMs, options.maxEvents?.TELEMETRY ?? 200_000),
  };
  const watchers = new Set<() => void>();
  const lostSince = new Map<string, number>();
  let allLostSinceMs: number | undefined;
  const tell = () => {
    for (const watcher of [...watchers]) watcher();
  };
  const put = (log: StreamLog, event: EncodedEvent): number => {
    const sequence = log.push(event, clock.now());
    tell();
    return sequence;
  };

  return {
    clock,
    append(event, expectedLastSubjectSequence) {
      const log = logs[streamOfSubject(event.subject)];
      const stored = log.sequenceOfId(event.headers['ce-id'] ?? '', clock.now());
      if (stored !== undefined) return { sequence: stored, duplicate: true };
      const last = log.lastOnSubject(event.subject);
      if (expectedLastSubjectSequence !== undefined && expectedLastSubjectSequence !== last)
        throw new StaleWriterError(event.subject, expectedLastSubjectSequence, last);
      return { sequence: put(log, event), duplicate: false };
    },
    putRaw: (message) => put(logs[streamOfSubject(message.subject)], message),
    setReachable(reachable, source) {
      const since = reachable ? undefined : clock.now();
      if (source === undefined) allLostSinceMs = reachable ? undefined : (allLostSinceMs ?? since);
      else if (since === undefined) lostSince.delete(source);
      else if (!lostSince.has(source)) lostSince.set(source, since);
      tell();
    },
    lostSinceMs: (source) => earliest(allLostSinceMs, lostSince.get(source)),
    lastSequence: (stream) => logs[stream].last(),
    firstSequence: (stream) => logs[stream].first(),
    lastOnSubject: (stream, subject) => logs[stream].lastOnSubject(subject),
    limit({ fleetMaxAgeMs, telemetryMaxAgeMs }) {
      logs.FLEET.limit(fleetMaxAgeMs, clock.now());
      logs.TELEMETRY.limit(telemetryMaxAgeMs, clock.now());
    },
    sequenceAt(stream, timeMs) {
      const log = logs[stream];
      let low = log.first() - 1;
      let high = log.last();
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if ((log.read(middle)?.storedMs ?? 0) <= timeMs) low = middle;
        else high = middle - 1;
      }
      return low;
    },
    read: (stream, sequence) => logs[stream].read(sequence),
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    answerers: new Map(),
    snapshots: new Map(),
    durables: new Map(),
  };
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

/** As JetStream's `duplicate_window` on the real streams. */
const duplicateWindowMs = 2 * 60 * 1000;

interface StreamLog {
  push(event: EncodedEvent, nowMs: number): number;
  limit(maxAgeMs: number | undefined, nowMs: number): void;
  first(): number;
  last(): number;
  read(sequence: number): MemoryMessage | undefined;
  lastOnSubject(subject: string): number;
  sequenceOfId(id: string, nowMs: number): number | undefined;
}

function createLog(firstMaxAgeMs: number, maxEvents: number): StreamLog {
  let maxAgeMs = firstMaxAgeMs;
  let messages: MemoryMessage[] = [];
  // Forgotten messages stay at the array's head until half of it is forgotten, so that forgetting is cheap.
  let head = 0;
  let firstSequence = 1;
  const bySubject = new Map<string, number>();
  const byId = new Map<string, { sequence: number; storedMs: number }>();

  const last = () => firstSequence + (messages.length - head) - 1;
  const forgetOld = (nowMs: number) => {
    while (head < messages.length) {
      const oldest = messages[head];
      if (!oldest || (messages.length - head <= maxEvents && nowMs - oldest.storedMs <= maxAgeMs)) break;
      if (bySubject.get(oldest.subject) === oldest.sequence) bySubject.delete(oldest.subject);
      head += 1;
      firstSequence += 1;
    }
    if (head > 1_024 && head > messages.length / 2) {
      messages = messages.slice(head);
      head = 0;
    }
    for (const [id, { storedMs }] of byId) {
      if (nowMs - storedMs <= duplicateWindowMs) break;
      byId.delete(id);
    }
  };

  return {
    push(event, nowMs) {
      const sequence = last() + 1;
      messages.push(createMessage(event, sequence, nowMs));
      bySubject.set(event.subject, sequence);
      const id = event.headers['ce-id'];
      if (id) byId.set(id, { sequence, storedMs: nowMs });
      forgetOld(nowMs);
      return sequence;
    },
    limit(wantedMs, nowMs) {
      maxAgeMs = wantedMs ?? maxAgeMs;
      forgetOld(nowMs);
    },
    first: () => firstSequence,
    last,
    read: (sequence) => (sequence < firstSequence ? undefined : messages[head + sequence - firstSequence]),
    lastOnSubject: (subject) => bySubject.get(subject) ?? 0,
    sequenceOfId(id, nowMs) {
      const known = byId.get(id);
      return known && nowMs - known.storedMs <= duplicateWindowMs ? known.sequence : undefined;
    },
  };
}

function createMessage(event: EncodedEvent, sequence: number, storedMs: number): MemoryMessage {
  const { subject, headers, payload } = event;
  let decoded: DecodeResult | undefined;
  return {
    subject,
    sequence,
    storedMs,
    get decoded() {
      decoded ??= freezeDeep(
        decode({ subject, sequence, storedMs, payload, header: (name) => headers[name] ?? '' }),
      );
      return decoded;
    },
  };
}

function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) freezeDeep(part);
  return Object.freeze(value);
}

function streamOfSubject(subject: string): StreamName {
  for (const name of Object.keys(streams) as StreamName[])
    if (streams[name].subjects.some((filter) => matchesSubject(filter, subject))) return name;
  throw new Error(`no stream keeps ${subject}`);
}

/** `matchesSubject` for one filter, which remembers: a subscriber meets the same few subjects again and again. */
export function subjectMatcher(filter: string | undefined): (subject: string) => boolean {
  const known = new Map<string, boolean>();
  return (subject) => {
    const before = known.get(subject);
    if (before !== undefined) return before;
    const matches = matchesSubject(filter, subject);
    known.set(subject, matches);
    return matches;
  };
}

/** NATS subject matching: `*` is one token, `>` at the end is one or more. No filter matches all. */
export function matchesSubject(filter: string | undefined, subject: string): boolean {
  if (filter === undefined || filter === subject) return true;
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (tokens[index] === undefined || (token !== '*' && token !== tokens[index])) return false;
  }
  return wanted.length === tokens.length;
}
