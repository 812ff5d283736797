/** One mistake in a configuration file. */
export interface ConfigProblem {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
  readonly column?: number;
  /** Dotted path, e.g. `servers.web-1.power[0].url`; empty for the file as a whole. */
  readonly key: string;
  /** What it must be, in words. */
  readonly rule: string;
  /** JSON of the offending value, at most 80 characters; left out where there is none. Never a secret. */
  readonly value?: string;
}

export type KeyPath = readonly (string | number)[];

/** A mistake found in a value, before its place in the file is known. */
export interface Finding {
  readonly path: KeyPath;
  /** Whose line is meant: that of the value, of its key, or (for a missing key) of what should hold it. */
  readonly place: 'value' | 'key' | 'parent';
  readonly rule: string;
  /** See `ConfigProblem.value`: text that may be shown. */
  readonly value?: string;
}

const maxValueChars = 80;
const maxKeyChars = 200;
const secretKey = /passw|passphrase|secret|token|credential|api-?key|private-?key/i;
const secretReference = /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/;

/** Whether a name speaks of a secret. */
export function looksSecret(name: string): boolean {
  return secretKey.test(name);
}

/** `<file>:<line>: <key>: <rule> (got <value>)` on one line. */
export function formatProblem(problem: ConfigProblem): string {
  const key = problem.key === '' ? '' : `${problem.key}: `;
  const got = problem.value === undefined ? '' : ` (got ${problem.value})`;
  return `${problem.file}:${problem.line}: ${key}${problem.rule}${got}`;
}

/** `['servers', 'web-1', 'power', 0, 'url']` as `servers.web-1.power[0].url`. Odd keys are quoted. */
export function keyOf(path: KeyPath): string {
  let key = '';
  for (const part of path) {
    if (typeof part === 'number') key += `[${part}]`;
    else if (/^[A-Za-z0-9_-]+$/.test(part)) key += key === '' ? part : `.${part}`;
    else key += `[${JSON.stringify(bounded(part, maxValueChars))}]`;
  }
  return bounded(key, maxKeyChars);
}

/**
 * The value as JSON that may be shown: bounded, with what may be a secret hidden. Of mappings and lists only the
 * keys are shown, since what a misplaced mapping holds can't be judged.
 */
export function describeValue(path: KeyPath, value: unknown): string {
  const name = path.findLast((part) => typeof part === 'string');
  if (typeof value === 'string') {
    if (typeof name === 'string' && looksSecret(name) && !secretReference.test(value)) return '(hidden)';
    const shown = value.replace(/\/\/[^/?#]*@/g, '//(hidden)@');
    return bounded(JSON.stringify(bounded(shown, maxValueChars)), maxValueChars);
  }
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) {
    const keys = Object.keys(value);
    const entries = keys.slice(0, 8).map((key) => `${JSON.stringify(bounded(key, 20))}:…`);
    return bounded(`{${entries.join(',')}${keys.length > 8 ? ',…' : ''}}`, maxValueChars);
  }
  return String(value);
}

function bounded(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
}

/** `; did you mean "x"?` for the known word nearest to this one, or nothing when none is near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  if (word.length > 64) return '';
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const other = candidate.toLowerCase();
    // A part of a name, such as "capacity" for "capacityRps", is far away by letters and near in meaning.
    const part = lower.length >= 3 && (other.startsWith(lower) || lower.startsWith(other));
    if (!part && Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = part ? 1 : editDistance(lower, other);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === undefined ? '' : `; did you mean "${best}"?`;
}

/** Insertions, deletions, replacements and swaps of neighbours that make `b` of `a` (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let distance = Math.min(at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + cost);
      if (a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, at(beforeLast, column - 2) + 1);
      }
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
