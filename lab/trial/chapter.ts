import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceName } from '../../libs/runtime/stack.ts';
import type { ChapterLoad } from './messages.ts';
import type { ArmName } from './options.ts';

/** One point of the plots: means since the point before. */
export interface Point {
  /** Seconds of the series. */
  readonly second: number;
  readonly rps: number;
  /** Of the servers that took requests at that moment. */
  readonly capacityRps: number;
  readonly awake: number;
  /** By the rack's own integral; absent where there is no virtual rack, and the meters' word stands for it. */
  readonly trueWatts?: number;
  readonly meteredWatts?: number;
}

/** By the rack's own integral, or by the meters where there is nothing else. */
export function wattsOf({ trueWatts, meteredWatts = 0 }: Point): number {
  return trueWatts ?? meteredWatts;
}

/** What the control plane held, now and then: for the leak check. */
export interface Footprint {
  readonly second: number;
  readonly residentKiB: Readonly<Record<ProcessName, number>>;
  readonly handles: Readonly<Record<ProcessName, number>>;
  readonly fleetBytes: number;
  readonly telemetryBytes: number;
  /** Of the requests since the footprint before, seen by the client. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export type ProcessName = ServiceName | 'nats';

export interface FaultRecord {
  readonly second: number;
  readonly kind: string;
  readonly target: string;
  readonly what: string;
  /** Clock ms until all was well again; null: not within the chapter's observation. */
  readonly recoveredMs: number | null;
  /** Requests that failed, or were late, in the seconds after it. */
  readonly failed: number;
  readonly late: number;
}

export interface ServerCounts {
  readonly wakes: number;
  readonly sleeps: number;
  /** On a virtual rack. */
  readonly trueWh?: number;
  /** On own machines: by the ledger of its meter, and the part of it that rests on the energy model. */
  readonly meteredWh?: number;
  readonly modelledWh?: number;
}

/** What one arm did in one chapter: its checkpoint. Energies are Wh of the clock (× speed: of the series). */
export interface Chapter {
  readonly version: 1;
  readonly arm: ArmName;
  readonly seed: number;
  readonly chapter: number;
  readonly fromSecond: number;
  readonly toSecond: number;
  /** Chapters of one life of the processes have the same; a run that was cut off goes on with another. */
  readonly segment: string;
  readonly clockSeconds: number;
  readonly load: ChapterLoad;
  readonly maxSendLagMs: number;
  /** The virtual rack's own integral; absent where the machines are real, since nobody knows it. */
  readonly trueWh?: number;
  /** What the meters said, put together by the rule of the ledger, and the part of it that rests on the model. */
  readonly meteredWh: number;
  readonly modelledWh: number;
  readonly parked: number;
  /** Requests that came in while the rate was above what the ready servers sustain. */
  readonly short: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly servers: Readonly<Record<string, ServerCounts>>;
  readonly cpuSeconds: Readonly<Record<ProcessName, number>>;
  readonly points: readonly Point[];
  readonly footprints: readonly Footprint[];
  readonly faults: readonly FaultRecord[];
}

const nameOf = (chapter: number) => `chapter-${String(chapter).padStart(4, '0')}.json`;

/** Whoever is cut off while it writes leaves no half of a file. */
export async function writeWhole(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

export async function writeChapter(folder: string, chapter: Chapter): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeWhole(join(folder, nameOf(chapter.chapter)), `${JSON.stringify(chapter)}\n`);
}

/** The chapters of an arm from the first on, up to the first that is missing. */
export async function readChapters(folder: string): Promise<Chapter[]> {
  const names = new Set(await readdir(folder).catch(() => [] as string[]));
  const chapters: Chapter[] = [];
  while (names.has(nameOf(chapters.length))) {
    const text = await readFile(join(folder, nameOf(chapters.length)), 'utf8');
    chapters.push(JSON.parse(text) as Chapter);
  }
  return chapters;
}
