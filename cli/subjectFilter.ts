import { type StreamName, streams } from '../libs/events/mod.ts';

/** What to ask of each stream for a NATS subject filter (`*`: one token, `>`: the rest). */
export interface StreamFilter {
  readonly stream: StreamName;
  /** Passed to the bus; left out where the filter reaches beyond the stream, which a consumer can't. */
  readonly filter?: string;
}

/** The streams that keep subjects of this filter; without one, the history alone. Empty: no stream does. */
export function streamsFor(filter: string | undefined): StreamFilter[] {
  if (filter === undefined) return [{ stream: 'FLEET' }];
  const names = Object.keys(streams) as StreamName[];
  return names.flatMap((stream): StreamFilter[] => {
    const { subjects } = streams[stream];
    if (subjects.some((subject) => covers(subject, filter))) return [{ stream, filter }];
    return subjects.some((subject) => overlaps(subject, filter)) ? [{ stream }] : [];
  });
}

/** Does every subject of `inner` (a subject or a filter) match `outer`? */
export function covers(outer: string, inner: string): boolean {
  const wanted = outer.split('.');
  const tokens = inner.split('.');
  for (const [index, token] of wanted.entries()) {
    const given = tokens[index];
    if (given === undefined) return false;
    if (token === '>') return true;
    if (given === '>' || (token !== '*' && token !== given)) return false;
  }
  return wanted.length === tokens.length;
}

/** Is there a subject that matches both? */
function overlaps(a: string, b: string): boolean {
  const left = a.split('.');
  const right = b.split('.');
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const one = left[index];
    const other = right[index];
    if (one === undefined || other === undefined) return false;
    if (one === '>' || other === '>') return true;
    if (one !== other && one !== '*' && other !== '*') return false;
  }
  return true;
}

/** Is this a NATS subject or filter: tokens without spaces, `>` only at the end? */
export function isSubjectFilter(text: string): boolean {
  return /^(\*|[^\s.*>]+)(\.(\*|[^\s.*>]+))*(\.>)?$|^>$/.test(text);
}
