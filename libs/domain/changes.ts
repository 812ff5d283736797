import type { Fleet } from './fleet.ts';

type Servers = Fleet['servers'];

/** The names of the servers that a fold changed, in turn, beside the record that it changed them in. */
interface Journal {
  /** So many changes were noted before those that are still held. */
  forgotten: number;
  readonly names: string[];
}

const journals = new WeakMap<Servers, Journal>();
/** Who looks seldom looks at all of them anew. */
const mostNoted = 20_000;

/** How far somebody has read. Only of use for the same record of servers: one made anew has another past. */
export interface Bookmark {
  readonly servers: Servers;
  readonly noted: number;
}

/** Notes that this server is another one now. Nothing is held before somebody asks. */
export function noteChange(servers: Servers, name: string): void {
  const journal = journals.get(servers);
  if (!journal) return;
  journal.names.push(name);
  if (journal.names.length <= mostNoted) return;
  const forgotten = mostNoted / 2;
  journal.names.splice(0, forgotten);
  journal.forgotten += forgotten;
}

/**
 * The servers that changed since the bookmark, with repeats, so that a fleet of ten thousand need not be compared one
 * by one.
 * @returns undefined when any of them may have.
 */
export function changedSince(
  servers: Servers,
  bookmark: Bookmark | undefined,
): readonly string[] | undefined {
  const journal = journals.get(servers);
  if (!journal || bookmark?.servers !== servers || bookmark.noted < journal.forgotten) return undefined;
  return journal.names.slice(bookmark.noted - journal.forgotten);
}

/** Where to go on reading: from now on changes of these servers are noted. */
export function bookmarkAt(servers: Servers): Bookmark {
  const journal = journals.get(servers) ?? { forgotten: 0, names: [] };
  journals.set(servers, journal);
  return { servers, noted: journal.forgotten + journal.names.length };
}
