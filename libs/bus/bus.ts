import type { EventDraft, MalformedEvent, RecordedEvent, StreamName } from '../events/mod.ts';

/** Where a subscription begins. Sequences count from 1; `sinceMs` is epoch milliseconds. */
export type StartAt = { readonly sequence: number } | { readonly sinceMs: number } | 'beginning' | 'new';

export interface PublishOptions {
  /**
   * The fence: the sequence of the last event on the same subject that the writer knows (0: none yet).
   * When the stream knows a later one, the event is refused with `StaleWriterError`.
   */
  readonly expectedLastSubjectSequence?: number;
  /** Gives up after this long; default: it is tried until the bus is closed. */
  readonly timeoutMs?: number;
}

export interface PublishAck {
  readonly sequence: number;
  /** True when the bus already had the event: an earlier try had arrived although its answer was lost. */
  readonly duplicate: boolean;
}

export interface SubscribeOptions {
  readonly stream: StreamName;
  /** One of `subjectFilters`; left out: everything in the stream. */
  readonly filter?: string;
  readonly startAt: StartAt;
  /** Called one event at a time, in stream order, each event exactly once. */
  readonly onEvent: (event: RecordedEvent) => void;
  /** A message that is no event we know. It is skipped. */
  readonly onMalformed?: (malformed: MalformedEvent) => void;
  /**
   * The stream is not the one that was read: it was made anew, or its end is lost. It ends at `lastSequence` now.
   * Says what to read of it: all of it again, or (also when left out) what was stored after the last event read.
   */
  readonly onReplaced?: (lastSequence: number) => 'all' | 'new';
}

export interface Subscription {
  /** The last sequence seen, malformed ones included; 0 before the first. */
  readonly lastSequence: number;
  stop(): Promise<void>;
}

export interface DurableOptions extends Omit<SubscribeOptions, 'onEvent'> {
  /** The durable consumer's name: its position is kept by the bus. */
  readonly name: string;
  /** Acknowledged when the promise resolves; delivered again (at least once) when it rejects. */
  readonly onEvent: (event: RecordedEvent) => Promise<void>;
}

/** How much of the past is kept. What is left out stays as it is. */
export interface StreamLimits {
  /** Copies of each stream, on as many nats-servers of the cluster: 1, 3 or 5. */
  readonly replicas?: number;
  readonly fleetMaxAgeMs?: number;
  readonly fleetMaxBytes?: number;
  readonly telemetryMaxAgeMs?: number;
  readonly telemetryMaxBytes?: number;
  readonly snapshotsMaxBytes?: number;
}

/** A projection at one moment: the fold of all events up to and with `sequence`. */
export interface Snapshot {
  readonly schemaVersion: number;
  readonly sequence: number;
  /** The id of the event at `sequence`, by which a stream that was made anew is told. Left out: it is not known. */
  readonly eventId?: string;
  readonly state: unknown;
}

/** The last event on its subject was not the one the writer thought: another writer is at work, or we are stale. */
export class StaleWriterError extends Error {
  readonly code = 'NEMURI_STALE_WRITER';
  /** Of the last event that the stream knows on the subject; 0: of none; undefined: it does not say. */
  readonly lastSequence: number | undefined;
  constructor(subject: string, expectedSequence: number, lastSequence?: number, options?: ErrorOptions) {
    super(`another event than ${expectedSequence} is the last on ${subject}: this writer is stale`, options);
    this.name = 'StaleWriterError';
    this.lastSequence = lastSequence;
  }
}

/** The rights of our user on the bus do not reach so far; no waiting mends that. */
export class BusRefusedError extends Error {
  readonly code = 'NEMURI_BUS_REFUSED';
  constructor(subject: string, options?: ErrorOptions) {
    super(`the rights of our user on the bus do not reach to ${subject}`, options);
    this.name = 'BusRefusedError';
  }
}

/** The bus did not answer within the caller's bound. Whether the event was stored is unknown. */
export class BusTimeoutError extends Error {
  readonly code = 'NEMURI_BUS_TIMEOUT';
  constructor(what: string, timeoutMs: number, options?: ErrorOptions) {
    super(`the bus did not take ${what} within ${timeoutMs} ms`, options);
    this.name = 'BusTimeoutError';
  }
}

/** The bus was closed before it could answer, or is used after it was closed. Whether an event was stored is unknown. */
export class BusClosedError extends Error {
  readonly code = 'NEMURI_BUS_CLOSED';
  constructor(options?: ErrorOptions) {
    super('the bus is closed', options);
    this.name = 'BusClosedError';
  }
}

/** Nobody answers for this server: its agent is not there, or its machine is asleep. */
export class NobodyAnswersError extends Error {
  readonly code = 'NEMURI_NOBODY_ANSWERS';
  constructor(server: string, options?: ErrorOptions) {
    super(`no agent answers for ${server}`, options);
    this.name = 'NobodyAnswersError';
  }
}

/** Answers a question to a server. What it throws is no answer: the asker runs into its time-out. */
export type Answerer = (question: unknown) => Promise<unknown>;

/** What services know of the event bus. Two implementations: JetStream and, for the simulation and tests, memory. */
export interface Bus {
  /**
   * Publishes one fact and waits until the stream has stored it. Safe to repeat inside: the message id is the event's.
   * @throws StaleWriterError when fenced, BusTimeoutError past `timeoutMs`, BusClosedError once the bus is closed,
   * Error when the data breaks its schema or the bus refuses the message for good.
   */
  publish(event: EventDraft, options?: PublishOptions): Promise<PublishAck>;

  /** Ordered consumption without acknowledgement, which mends itself when the bus goes away and returns. */
  subscribe(options: SubscribeOptions): Promise<Subscription>;

  /** At-least-once consumption with a position kept by the bus. */
  subscribeDurable(options: DurableOptions): Promise<Subscription>;

  /** The stored events from `fromSequence` to the stream's present end, then it returns. */
  history(stream: StreamName, fromSequence: number, filter?: string): AsyncIterable<RecordedEvent>;

  /** The last sequence that the stream holds now; 0 when it never held one. */
  lastSequence(stream: StreamName): Promise<number>;

  /** The last event that the stream holds on one subject; undefined: none, or none that is an event. */
  lastOn(stream: StreamName, subject: string): Promise<RecordedEvent | undefined>;

  /** The event at a sequence; undefined: it is not kept, or is none. */
  eventAt(stream: StreamName, sequence: number): Promise<RecordedEvent | undefined>;

  /** The first sequence the stream still holds; one after the last when it holds none. */
  firstSequence(stream: StreamName): Promise<number>;

  /** The last sequence that was stored at or before `timeMs` (epoch ms, the stream's clock); one before the first it holds when all are later. */
  sequenceAt(stream: StreamName, timeMs: number): Promise<number>;

  /** Brings the streams to these limits, also those that have others. @throws Error when the bus refuses them. */
  limit(limits: StreamLimits): Promise<void>;

  /** The snapshot under `key`, if there is one that can be read. */
  loadSnapshot(key: string): Promise<Snapshot | undefined>;
  saveSnapshot(key: string, snapshot: Snapshot): Promise<void>;

  /**
   * Asks whoever answers for a server now. JSON both ways; nothing is stored.
   * @throws NobodyAnswersError, BusTimeoutError past `timeoutMs`, BusClosedError.
   */
  ask(server: string, question: unknown, timeoutMs: number): Promise<unknown>;

  /** Answers for a server until it is stopped, also after the bus went away and returned. */
  answer(server: string, answerer: Answerer): Promise<{ stop(): Promise<void> }>;

  /**
   * Epoch milliseconds since when the bus has been lost: unreachable, or reached and not able to store (a cluster
   * without a majority, a broken store); undefined while it can be used.
   */
  readonly lostSinceMs: number | undefined;
  /** Why it is lost, in words, where the bus can tell. */
  readonly lostWhy?: string | undefined;

  /** Stops all subscriptions and waits for what is being published, bounded by `timeoutMs` (default 2,000). */
  close(timeoutMs?: number): Promise<void>;
}
