import { JetStreamApiCodes, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection, TimeoutError } from '@nats-io/transport-node';
import { type StreamName, streams } from '../../events/mod.ts';
import { loginOf } from './credentials.ts';
import type { BusLogin } from './options.ts';
import { damageOf, isLeaderless, storeTrouble, troubleOf } from './pulse.ts';
import { hasApiCode, snapshotBucket } from './streams.ts';

export interface StreamFacts {
  readonly name: StreamName;
  /** Undefined: there is no such stream. */
  readonly state?: {
    readonly messages: number;
    readonly bytes: number;
    /** -1: no limit. */
    readonly maxBytes: number;
    readonly replicas: number;
    /** Between the first and the last that are kept, so many are not: their files were damaged. */
    readonly missing: number;
  };
  /** Why it can't store now, or can't be looked at. */
  readonly trouble?: string;
  /** Why what it stored can't be read. */
  readonly damage?: string;
}

/** What a nats-server says of itself, and of our streams on it. */
export interface BusFacts {
  /** Of nats-server, such as 2.10.18. */
  readonly version: string;
  readonly maxPayloadBytes: number;
  readonly roundTripMs: number;
  /** How far the server's clock is ahead of ours, in ms, to half a round trip; undefined: it could not be told. */
  readonly clockSkewMs?: number;
  /** Undefined: JetStream is off, or not for this account. */
  readonly streams?: readonly StreamFacts[];
  /** Why it is. */
  readonly jetStreamProblem?: string;
  /** Why it is: too few nats-servers of the cluster run. */
  readonly hasNoMajority?: boolean;
}

export interface InspectOptions extends BusLogin {
  readonly servers: readonly string[];
  readonly timeoutMs: number;
  readonly nowMs: () => number;
}

/**
 * Looks at the bus once, and creates nothing but one snapshot by which its clock is read.
 * @throws Error when it can't be reached within `timeoutMs`, or refuses us.
 */
export async function inspectBus(options: InspectOptions): Promise<BusFacts> {
  const { timeoutMs, nowMs } = options;
  const connection = await connect({
    ...loginOf(options),
    name: 'doctor',
    timeout: timeoutMs,
    reconnect: false,
  });
  try {
    const { version = 'unknown', max_payload: maxPayloadBytes = 0 } = connection.info ?? {};
    const facts = { version, maxPayloadBytes, roundTripMs: await connection.rtt() };
    try {
      const found = await inspectStreams(connection, timeoutMs);
      const clockSkewMs = await skewOf(connection, timeoutMs, nowMs).catch(() => undefined);
      return { ...facts, streams: found, ...(clockSkewMs === undefined ? {} : { clockSkewMs }) };
    } catch (error) {
      // In a cluster that just lost its leader, nobody is there to say so.
      const isUnanswered = connection.info?.cluster !== undefined && error instanceof TimeoutError;
      const hasNoMajority = isLeaderless(error) || isUnanswered;
      return { ...facts, jetStreamProblem: troubleOf(error), hasNoMajority };
    }
  } finally {
    await connection.close();
  }
}

async function inspectStreams(connection: NatsConnection, timeout: number): Promise<StreamFacts[]> {
  const manager = await jetstreamManager(connection, { timeout, checkAPI: false });
  await manager.getAccountInfo();
  const found: StreamFacts[] = [];
  for (const name of Object.keys(streams) as StreamName[]) {
    found.push(await lookAt(manager, name).catch((error) => withoutFacts(name, error)));
  }
  return found;
}

async function lookAt(manager: JetStreamManager, stream: StreamName): Promise<StreamFacts> {
  const info = await manager.streams.info(stream);
  const { messages, bytes, first_seq: first, last_seq: last } = info.state;
  const missing = messages === 0 ? 0 : Math.max(0, last - first + 1 - messages);
  const { max_bytes: maxBytes, num_replicas: replicas } = info.config;
  const trouble = storeTrouble(info);
  const damage = await damageOf(manager, info);
  const state = { messages, bytes, maxBytes, replicas, missing };
  return {
    name: stream,
    state,
    ...(trouble === undefined ? {} : { trouble }),
    ...(damage === undefined ? {} : { damage }),
  };
}

/** One that is missing is only named. */
function withoutFacts(name: StreamName, error: unknown): StreamFacts {
  return hasApiCode(error, JetStreamApiCodes.StreamNotFound) ? { name } : { name, trouble: troubleOf(error) };
}

/** The server stamps what it stores: in the middle between our sending and its answer. */
async function skewOf(connection: NatsConnection, timeout: number, nowMs: () => number): Promise<number> {
  const bucket = await new Kvm(jetstream(connection, { timeout })).open(snapshotBucket);
  const sentMs = nowMs();
  await bucket.put('doctor', new Uint8Array());
  const answeredMs = nowMs();
  const entry = await bucket.get('doctor');
  if (!entry) throw new Error('the snapshot is gone');
  return entry.created.getTime() - (sentMs + answeredMs) / 2;
}
