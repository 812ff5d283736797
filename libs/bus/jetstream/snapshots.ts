import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { KV } from '@nats-io/kv';
import type { Snapshot } from '../bus.ts';
import { messageOf } from '../problems.ts';
import type { Link } from './link.ts';

/**
 * A snapshot is gzipped JSON, cut into parts below the server's message size. The parts go to one of two places in
 * turn; the entry under the key itself is written last, and names the place and the hash of the whole. So a reader
 * sees the old snapshot or the new one, and one that was overwritten while it read does not match the hash.
 */
const placeNames = ['a', 'b'] as const;
const readTries = 3;
const maxParts = 4_096;

interface Manifest {
  readonly place: (typeof placeNames)[number];
  readonly parts: number;
  readonly sha256: string;
}

const zip = promisify(gzip);
const unzip = promisify<Uint8Array, Buffer>(gunzip);

/** @throws Error when the bus does not take it; the snapshot before it stays. */
export async function saveSnapshot(link: Link, key: string, snapshot: Snapshot): Promise<void> {
  const { snapshots, nc } = await link.whenUp(snapshotWaitMs);
  const bytes = await zip(JSON.stringify(snapshot), { level: 1 });
  // Room for the headers that the server counts too.
  const partBytes = Math.max(1_024, Math.floor((nc.info?.max_payload ?? 1_048_576) / 2));
  const parts = Math.ceil(bytes.byteLength / partBytes);
  if (parts > maxParts)
    throw new Error(`snapshot ${key} has ${bytes.byteLength} bytes, more than the bus can keep`);
  const before = await link.guard(readManifest(snapshots, key));
  const place = before?.place === 'a' ? 'b' : 'a';
  for (let part = 0; part < parts; part += 1) {
    const slice = bytes.subarray(part * partBytes, (part + 1) * partBytes);
    await link.guard(snapshots.put(partKey(key, place, part), slice));
  }
  const manifest: Manifest = { place, parts, sha256: hashOf(bytes) };
  await link.guard(snapshots.put(key, JSON.stringify(manifest)));
}

const snapshotWaitMs = 10_000;

/**
 * The last whole snapshot under the key. Undefined when there is none, or none that can be read: that is reported,
 * and the reader replays the history instead.
 */
export async function loadSnapshot(link: Link, key: string): Promise<Snapshot | undefined> {
  const { snapshots } = await link.whenUp(snapshotWaitMs);
  let problem = '';
  for (let attempt = 0; attempt < readTries; attempt += 1) {
    const manifest = await link.guard(readManifest(snapshots, key));
    if (!manifest) return undefined;
    const bytes = await link.guard(readParts(snapshots, key, manifest));
    if (!bytes || hashOf(bytes) !== manifest.sha256) {
      problem = 'its parts do not belong together';
      continue;
    }
    try {
      return JSON.parse((await unzip(bytes)).toString('utf8')) as Snapshot;
    } catch (error) {
      problem = messageOf(error);
    }
  }
  link.report(new Error(`snapshot ${key} can't be read: ${problem}`));
  return undefined;
}

async function readManifest(kv: KV, key: string): Promise<Manifest | undefined> {
  const entry = await kv.get(key);
  if (entry?.operation !== 'PUT') return undefined;
  try {
    const manifest = entry.json<Manifest>();
    const isWhole = placeNames.includes(manifest.place) && manifest.parts >= 0 && manifest.parts <= maxParts;
    return isWhole ? manifest : undefined;
  } catch {
    return undefined;
  }
}

async function readParts(kv: KV, key: string, { place, parts }: Manifest): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  for (let part = 0; part < parts; part += 1) {
    const entry = await kv.get(partKey(key, place, part));
    if (entry?.operation !== 'PUT') return undefined;
    chunks.push(entry.value);
  }
  return Buffer.concat(chunks);
}

/** Parted by dots, so that a right to all of a service's snapshots can be written: `<service>.>`. */
function partKey(key: string, place: string, part: number): string {
  return `${key}.${place}.${part}`;
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
