import { isDeepStrictEqual } from 'node:util';
import type { Bus } from '../../libs/bus/mod.ts';
import { catalog, type RecordedEvent, type SubjectKind } from '../../libs/events/mod.ts';
import { type Said, saidOf } from './said.ts';

export interface PastFilter {
  /** Only what came before this sequence. */
  readonly before: number;
  readonly kind?: SubjectKind;
  readonly server?: string;
  /** Somewhere in its type, server, pool, sentence or author; case does not matter. */
  readonly text?: string;
  readonly limit: number;
}

export interface PastEvents {
  /** Newest first. */
  readonly events: readonly Said[];
  /** Where to go on from; 0: the beginning is reached. */
  readonly before: number;
}

/** So much is read at once, and so often for one answer: a filter that fits little must not read the whole history. */
const chunkEvents = 500;
const maxChunks = 20;

/** The facts before a moment that fit a filter. Decisions that only renew the one before them are left out. */
export async function readPast(bus: Bus, filter: PastFilter): Promise<PastEvents> {
  const found: Said[] = [];
  let before = Math.min(filter.before, (await bus.lastSequence('FLEET')) + 1);
  for (let chunk = 0; chunk < maxChunks && before > 1 && found.length < filter.limit; chunk += 1) {
    const from = Math.max(1, before - chunkEvents);
    const lines = await readChunk(bus, from, before, filter);
    const missing = filter.limit - found.length;
    const taken = lines.slice(0, missing);
    found.push(...taken);
    before = lines.length > missing ? (taken.at(-1)?.sequence ?? from) : from;
  }
  return { events: found, before: before > 1 ? before : 0 };
}

/** Those of [from, before) that fit, newest first. */
async function readChunk(bus: Bus, from: number, before: number, filter: PastFilter): Promise<Said[]> {
  const lines: Said[] = [];
  const isNews = newsFilter();
  for await (const event of bus.history('FLEET', from)) {
    if (event.sequence >= before) break;
    if (isNews(event) && fits(event, filter)) lines.push(saidOf(event));
  }
  return lines.reverse();
}

/** A filter that leaves out decisions with the target of the one before. */
export function newsFilter(): (event: RecordedEvent) => boolean {
  const targets = new Map<string, readonly string[]>();
  return (event) => {
    if (event.type !== 'CapacityDecided') return true;
    const before = targets.get(event.data.pool);
    targets.set(event.data.pool, event.data.target);
    return !isDeepStrictEqual(before, event.data.target);
  };
}

function fits(event: RecordedEvent, { kind, server, text }: PastFilter): boolean {
  if (kind !== undefined && catalog[event.type].kind !== kind) return false;
  const said = saidOf(event);
  if (server !== undefined && said.server !== server) return false;
  if (text === undefined) return true;
  const all = [said.type, said.server, said.pool, said.text, said.by].join('\n').toLowerCase();
  return all.includes(text.toLowerCase());
}

/** One fact by its sequence; undefined when it is not, or no longer, in the history. */
export async function readOne(bus: Bus, sequence: number): Promise<RecordedEvent | undefined> {
  if (sequence > (await bus.lastSequence('FLEET'))) return undefined;
  for await (const event of bus.history('FLEET', sequence)) {
    return event.sequence === sequence ? event : undefined;
  }
  return undefined;
}
