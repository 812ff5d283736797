import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { nanos } from '@nats-io/transport-node';
import { type StreamName, streams } from '../../events/mod.ts';
import type { StreamLimits } from '../bus.ts';
import { messageOf } from '../problems.ts';
import { defaultLimits, duplicateWindowMs } from './options.ts';

export const snapshotBucket = 'NEMURI_SNAPSHOTS';

/**
 * Creates the streams that are missing, and brings existing ones to the limits that were given.
 * Nothing here is newer than nats-server 2.9. Several services may do it at the same time.
 */
export async function ensureStreams(manager: JetStreamManager, limits: StreamLimits): Promise<void> {
  await named(
    'stream FLEET',
    ensureStream(manager, 'FLEET', {
      num_replicas: limits.replicas,
      max_age: limits.fleetMaxAgeMs === undefined ? undefined : nanos(limits.fleetMaxAgeMs),
      max_bytes: limits.fleetMaxBytes,
    }),
  );
  await named(
    'stream TELEMETRY',
    ensureStream(manager, 'TELEMETRY', {
      num_replicas: limits.replicas,
      max_age: limits.telemetryMaxAgeMs === undefined ? undefined : nanos(limits.telemetryMaxAgeMs),
      max_bytes: limits.telemetryMaxBytes,
    }),
  );
}

/** The server refuses a stream as it is configured: no waiting mends that. */
export class StreamRefusedError extends Error {
  constructor(what: string, options: ErrorOptions) {
    super(`${what}: ${messageOf(options.cause)}`, options);
    this.name = 'StreamRefusedError';
  }
}

/** Insufficient storage, invalid configuration, name in use, subjects overlap, no replicas without a cluster. */
const refusals = [10047, 10052, 10058, 10065, 10074];

async function named<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (hasApiCode(error, ...refusals)) throw new StreamRefusedError(what, { cause: error });
    throw error;
  }
}

type Limits = { [K in 'num_replicas' | 'max_age' | 'max_bytes']: number | undefined };

async function ensureStream(manager: JetStreamManager, name: StreamName, wanted: Limits): Promise<void> {
  const given: Partial<StreamConfig> = Object.fromEntries(
    Object.entries(wanted).filter(([, value]) => value !== undefined),
  );
  // The server refuses a memory of ids that is longer than that of messages.
  if (given.max_age) given.duplicate_window = Math.min(nanos(duplicateWindowMs), given.max_age);
  const existing = await findStream(manager, name);
  if (!existing) {
    await manager.streams.add({ ...newStream(name), ...given });
    return;
  }
  const subjects = [...new Set([...existing.subjects, ...streams[name].subjects])];
  const isRight =
    subjects.length === existing.subjects.length &&
    Object.entries(given).every(([key, value]) => existing[key as keyof StreamConfig] === value);
  if (!isRight) await manager.streams.update(name, { ...given, subjects });
}

async function findStream(manager: JetStreamManager, name: StreamName): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (hasApiCode(error, JetStreamApiCodes.StreamNotFound)) return undefined;
    throw error;
  }
}

function newStream(name: StreamName): Partial<StreamConfig> & { name: string } {
  const fleet = name === 'FLEET';
  return {
    name,
    subjects: [...streams[name].subjects],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    duplicate_window: nanos(duplicateWindowMs),
    allow_direct: true,
    num_replicas: defaultLimits.replicas,
    max_age: nanos(fleet ? defaultLimits.fleetMaxAgeMs : defaultLimits.telemetryMaxAgeMs),
    max_bytes: fleet ? defaultLimits.fleetMaxBytes : defaultLimits.telemetryMaxBytes,
  };
}

/** Opens the bucket of snapshots, creates it when it is missing, and gives it as many replicas as are wanted. */
export async function openSnapshotBucket(
  js: JetStreamClient,
  manager: JetStreamManager,
  limits: StreamLimits,
): Promise<KV> {
  const bucket = new Kvm(js).create(snapshotBucket, {
    history: 1,
    storage: StorageType.File,
    replicas: limits.replicas ?? defaultLimits.replicas,
    max_bytes: limits.snapshotsMaxBytes ?? defaultLimits.snapshotsMaxBytes,
  });
  const opened = await named('the bucket of snapshots', bucket);
  const { replicas } = limits;
  const { config } = await manager.streams.info(`KV_${snapshotBucket}`);
  if (replicas !== undefined && config.num_replicas !== replicas)
    await named('the bucket of snapshots', manager.streams.update(config.name, { num_replicas: replicas }));
  return opened;
}

export function hasApiCode(error: unknown, ...codes: number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}
