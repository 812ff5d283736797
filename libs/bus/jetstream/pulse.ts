import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { TimeoutError } from '@nats-io/transport-node';
import { type StreamName, streams } from '../../events/mod.ts';
import { messageOf } from '../problems.ts';
import { copySilentMs, missedPulses } from './options.ts';
import { isNobody, isRefusal } from './protocol.ts';
import { hasApiCode } from './streams.ts';

/**
 * A connection that stands says nothing of JetStream behind it: in a cluster without a majority, or on a broken store,
 * nothing is stored any more while nats-server goes on answering pings, and the leader that lost the others even goes
 * on answering for its stream. So the streams are asked again and again, and what is published is watched.
 */

/** JetStream has no leader: "system temporarily unavailable". */
const leaderlessCode = 10008;

/** Why a stream can't store now, by what its leader says of its copies; undefined: it can. Pure. */
export function storeTrouble({ config, cluster }: StreamInfo): string | undefined {
  // Left out by a nats-server that is no member of a cluster.
  if (!cluster) return undefined;
  if (!cluster.leader)
    return `${config.name} has no leader: a majority of its copies is missing, or about to elect one`;
  const others = cluster.replicas ?? [];
  const silent = others.filter(({ offline, active }) => offline || active / 1e6 > copySilentMs);
  const copies = others.length + 1;
  if ((copies - silent.length) * 2 > copies) return undefined;
  const names = silent.map(({ name }) => name).join(', ');
  return `${config.name} has no majority of its ${copies} copies: silent are ${names}`;
}

/** Resolves when every stream can store. @throws Error saying why not; TimeoutError and others of the client. */
export async function checkStreams(manager: JetStreamManager): Promise<void> {
  const names = Object.keys(streams) as StreamName[];
  const troubles = await Promise.all(
    names.map(async (name) => {
      const info = await manager.streams.info(name);
      return storeTrouble(info) ?? (await damageOf(manager, info));
    }),
  );
  const found = troubles.filter((trouble) => trouble !== undefined);
  if (found.length > 0) throw new Error(found.join('; '));
}

/**
 * Why a stream can't be read at its end; undefined: it can. After bytes of a stream's last file were changed
 * nats-server 2.9 cuts it off there, goes on to acknowledge what is published, and never gives it back.
 */
export async function damageOf(
  manager: JetStreamManager,
  { config, state }: StreamInfo,
): Promise<string | undefined> {
  const { messages, first_seq: first, last_seq: last } = state;
  if (messages === 0 || messages > last - first) return undefined;
  if (await manager.streams.getMessage(config.name, { seq: last })) return undefined;
  return `${config.name} does not give back what it stored (event ${last}): its files are damaged`;
}

/** What an unanswered or refused request to JetStream says of the bus, in words for an operator. */
export function troubleOf(error: unknown): string {
  if (isLeaderless(error)) return 'JetStream has no leader: a majority of the nats-servers is missing';
  if (isRefusal(error))
    return `our user may not make or change the streams, nemuri configure does: ${messageOf(error)}`;
  if (error instanceof TimeoutError) return 'JetStream does not answer';
  if (isNobody(error)) return 'nobody answers for JetStream or this stream';
  return messageOf(error);
}

/** True when nats-server itself says that JetStream is without a leader in its cluster. */
export function isLeaderless(error: unknown): boolean {
  return hasApiCode(error, leaderlessCode);
}

export interface PulseOptions {
  readonly everyMs: number;
  /** Asks whether the streams can store now; undefined: the bus is known to be lost. */
  readonly ask: () => Promise<void> | undefined;
  /** The bus could not store for so long. `unstored`: it answers as if it could, but what is published fails. */
  readonly onSilent: (silence: { why: string; forMs: number; unstored: boolean }) => void;
}

export interface Pulse {
  /** The bus is back: what was before counts no more. */
  restart(): void;
  /** Something was stored in this stream. */
  stored(stream: StreamName): void;
  /** A publish found no answer, or one that says that the stream can't store. */
  unstored(stream: StreamName, error: unknown): void;
  stop(): void;
}

/** Since when nothing could be stored in one stream; `told`: the bus was given up for it, and nothing was stored since. */
interface Unstored {
  readonly sinceMs: number;
  readonly lastMs: number;
  readonly told: boolean;
}

/**
 * One slow answer is none of it: `missedPulses` in a row without a good answer are, or publishes that fail again and
 * again for as long. A process that was stopped for a while has missed none.
 */
export function startPulse({ everyMs, ask, onSilent }: PulseOptions): Pulse {
  const boundMs = everyMs * missedPulses;
  const unstored = new Map<StreamName, Unstored>();
  let missed = 0;
  let answeredMs = performance.now();
  let timer: NodeJS.Timeout;
  let stopped = false;

  const beat = async () => {
    const askedMs = performance.now();
    try {
      const asking = ask();
      if (!asking) return;
      await asking;
      missed = 0;
      answeredMs = askedMs;
    } catch (error) {
      missed += 1;
      if (missed < missedPulses) return;
      missed = 0;
      onSilent({ why: troubleOf(error), forMs: performance.now() - answeredMs, unstored: false });
    } finally {
      if (!stopped) timer.refresh();
    }
  };
  timer = setTimeout(() => void beat(), everyMs);

  return {
    restart() {
      missed = 0;
      answeredMs = performance.now();
    },
    stored: (stream) => void unstored.delete(stream),
    unstored(stream, error) {
      const nowMs = performance.now();
      const before = unstored.get(stream);
      // Two failures with a long time between them are two accidents.
      const isOne = before && nowMs - before.lastMs <= boundMs * (before.told ? 4 : 1);
      const sinceMs = isOne ? before.sinceMs : nowMs;
      const told = (isOne && before.told) || nowMs - sinceMs >= boundMs;
      unstored.set(stream, { sinceMs, lastMs: nowMs, told });
      const why = `${stream} stores nothing: ${troubleOf(error)}`;
      if (told) onSilent({ why, forMs: nowMs - sinceMs, unstored: true });
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
