import { AckPolicy, type MsgRequest, type StreamState } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { decode, type RecordedEvent, type StreamName } from '../../events/mod.ts';
import type { Link } from './link.ts';
import { startOf } from './position.ts';
import { headerOf } from './protocol.ts';

/** One event, looked up by the server: by its sequence, or as the last one on a subject. */
export async function storedEvent(
  link: Link,
  stream: StreamName,
  which: MsgRequest,
): Promise<RecordedEvent | undefined> {
  const { manager } = await link.whenUp();
  const stored = await link.guard(manager.streams.getMessage(stream, which));
  if (!stored) return undefined;
  const decoded = decode({
    subject: stored.subject,
    sequence: stored.seq,
    storedMs: stored.time.getTime(),
    payload: stored.data,
    header: (name) => headerOf(stored.header, name),
  });
  return decoded.ok ? decoded.event : undefined;
}

/** The first sequence a stream still holds; one after the last when it holds none. */
export function firstOf(state: StreamState): number {
  return state.messages === 0 ? state.last_seq + 1 : state.first_seq;
}

/**
 * The last sequence stored at or before a time. The server itself looks it up: a consumer that begins at a time
 * tells at once before which sequence it stands. (Reading by time without one needs nats-server 2.11.)
 */
export async function sequenceAt(link: Link, stream: StreamName, timeMs: number): Promise<number> {
  const { manager } = await link.whenUp();
  const { state } = await link.guard(manager.streams.info(stream));
  if (state.messages === 0 || timeMs >= Date.parse(state.last_ts)) return state.last_seq;
  if (timeMs < Date.parse(state.first_ts)) return state.first_seq - 1;
  const consumer = await link.guard(
    manager.consumers.add(stream, {
      ack_policy: AckPolicy.Explicit,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(5_000),
      ...startOf({ sinceMs: timeMs + 1 }),
    }),
  );
  // Best effort: one that is left behind ends by itself.
  manager.consumers.delete(stream, consumer.name).catch(() => undefined);
  return consumer.delivered.stream_seq;
}
