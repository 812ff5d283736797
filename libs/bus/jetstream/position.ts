import { type ConsumerConfig, DeliverPolicy, type StreamInfo } from '@nats-io/jetstream';
import type { StartAt } from '../bus.ts';
import { startsPastEnd } from '../problems.ts';
import type { Delivery } from './protocol.ts';

type Place =
  | { readonly sequence: number }
  | { readonly sinceMs: number }
  | { readonly sinceNs: bigint }
  | 'beginning';

/** Where a reader stands in its stream, and where its next consumer has to begin. */
export interface Position {
  /** The last sequence read; 0 before the first. */
  readonly lastSequence: number;
  /**
   * Fits the place to the stream as it is now. Call it before each consumer is opened.
   * @param readsAll whether all of a stream that is not the one that was read is new to us.
   */
  settle(info: StreamInfo, readsAll?: boolean): void;
  /** False when the message was read before. */
  advance(delivery: Delivery): boolean;
  /** True when the stream is not the one that was read: made anew, or cut off at its end. */
  isReplaced(info: StreamInfo): boolean;
  startConfig(): Partial<ConsumerConfig>;
}

/** `report` hears of a stream that is not the one that was read: it is told, never silently waited for. */
export function createPosition(stream: string, startAt: StartAt, report: (problem: Error) => void): Position {
  let place: Place | undefined;
  let created: string | undefined;
  let knownEnd = 0;
  let lastSequence = 0;
  let lastStoredNs: string | undefined;

  const isReplaced = (info: StreamInfo) =>
    created !== undefined && (info.created !== created || info.state.last_seq < knownEnd);
  /** Sequences start over, time does not: what was stored after the last message we read is new to us. */
  const placeInReplaced = (info: StreamInfo): Place => {
    if (lastStoredNs !== undefined) return { sinceNs: BigInt(lastStoredNs) + 1n };
    if (place === 'beginning' || info.created !== created) return 'beginning';
    return { sequence: info.state.last_seq + 1 };
  };

  return {
    get lastSequence() {
      return lastSequence;
    },
    settle(info, readsAll = false) {
      const end = info.state.last_seq;
      if (place === undefined) place = firstPlace(stream, startAt, end, report);
      else if (isReplaced(info)) {
        report(
          new Error(`${stream} was made anew or lost its end: it ends at ${end}, known was ${knownEnd}`),
        );
        place = readsAll ? 'beginning' : placeInReplaced(info);
        if (readsAll) lastStoredNs = undefined;
        lastSequence = 0;
        knownEnd = 0;
      }
      created = info.created;
      knownEnd = Math.max(knownEnd, end);
    },
    advance({ streamSequence, storedNs }) {
      if (streamSequence <= lastSequence) return false;
      lastSequence = streamSequence;
      lastStoredNs = storedNs;
      knownEnd = Math.max(knownEnd, streamSequence);
      place = { sequence: streamSequence + 1 };
      return true;
    },
    isReplaced,
    startConfig: () => startOf(place ?? 'beginning'),
  };
}

function firstPlace(stream: string, startAt: StartAt, end: number, report: (problem: Error) => void): Place {
  if (startAt === 'beginning') return 'beginning';
  if (startAt === 'new') return { sequence: end + 1 };
  if ('sinceMs' in startAt) return startAt;
  if (startAt.sequence <= end + 1) return { sequence: Math.max(1, startAt.sequence) };
  report(startsPastEnd(stream, startAt.sequence, end));
  return { sequence: end + 1 };
}

/** The consumer settings that begin at a place. */
export function startOf(place: Place): Partial<ConsumerConfig> {
  if (place === 'beginning') return { deliver_policy: DeliverPolicy.All };
  if ('sequence' in place)
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: place.sequence };
  const sinceNs = 'sinceNs' in place ? place.sinceNs : BigInt(Math.floor(place.sinceMs)) * 1_000_000n;
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: isoOfNs(sinceNs) };
}

/** RFC 3339 with nanoseconds, which `Date` can't hold. */
function isoOfNs(timeNs: bigint): string {
  const seconds = new Date(Number(timeNs / 1_000_000_000n) * 1_000).toISOString().slice(0, -5);
  return `${seconds}.${String(timeNs % 1_000_000_000n).padStart(9, '0')}Z`;
}
