import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { KeyPath } from './configProblem.ts';

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A mistake of the YAML text itself. */
export interface YamlProblem extends Place {
  readonly path: KeyPath;
  readonly rule: string;
}

/** A YAML document as plain JSON data (a tree: aliases are copied), with the places its values came from. */
export interface YamlContent {
  readonly value: unknown;
  readonly problems: readonly YamlProblem[];
  /** Where a value, its key, or the nearest thing that exists around it stands. */
  placeOf(path: KeyPath, place: 'value' | 'key' | 'parent'): Place;
}

/** A config of 2,000 servers has about 60,000 nodes; a few lines of nested aliases can have billions. */
const maxNodes = 500_000;

interface Offsets {
  readonly key: number;
  readonly value: number;
}

/** The parser's words are not used: some quote the text, which may be a secret. */
const rules: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias can have no tag and no anchor',
  BAD_ALIAS: 'this is no valid alias; text that begins with * or & must be quoted',
  BAD_DQ_ESCAPE: 'unknown escape in double quotes; a backslash itself is written \\\\',
  BAD_INDENT: 'wrong indentation',
  BAD_SCALAR_START: "text can't begin with this character; put it in quotes",
  BLOCK_AS_IMPLICIT_KEY: 'a second ": " on one line; text that has it must be quoted',
  KEY_OVER_1024_CHARS: 'a key may have at most 1,024 characters',
  MISSING_CHAR: 'a closing quote or bracket, a comma, a colon or a space is missing',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line and be followed by ":"',
  MULTIPLE_DOCS: 'must hold one YAML document only',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'must not nest so deep',
  TAB_AS_INDENT: 'must be indented by spaces; here is a tab',
  TAG_RESOLVE_FAILED: 'unknown tag; text that begins with ! must be quoted',
};

class TooLargeError extends Error {}

/** Reads one YAML 1.2 document (core schema, with `<<` merge keys). Never throws; all mistakes come back. */
export function readYaml(text: string): YamlContent {
  const lines = new LineCounter();
  const offsets = new WeakMap<object, Map<string | number, Offsets>>();
  const problems: YamlProblem[] = [];
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const report = (path: KeyPath, offset: number, rule: string) => {
    problems.push({ path, rule, ...placeAt(offset) });
  };
  let value: unknown;
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: false,
      logLevel: 'error',
    });
    for (const error of [...document.errors, ...document.warnings]) {
      report([], error.pos[0], rules[error.code] ?? 'is no valid YAML here');
    }
    const { version } = document.directives?.yaml ?? {};
    if (version !== undefined && version !== '1.2') report([], 0, 'must be YAML 1.2');
    if (problems.length === 0) value = plain(document.contents, offsets, report);
  } catch (error) {
    const tooLarge = error instanceof TooLargeError;
    const deep = error instanceof RangeError;
    if (!tooLarge && !deep) throw error;
    report(
      [],
      0,
      deep ? 'must not nest so deep' : `must have at most ${maxNodes} values, aliases counted in full`,
    );
  }
  return {
    value,
    problems,
    placeOf: (path, place) => placeAt(offsetOf(value, offsets, path, place)),
  };
}

function offsetOf(
  root: unknown,
  offsets: WeakMap<object, Map<string | number, Offsets>>,
  path: KeyPath,
  place: 'value' | 'key' | 'parent',
): number {
  let at = root;
  let found: Offsets = { key: 0, value: 0 };
  for (const part of place === 'parent' ? path.slice(0, -1) : path) {
    const next = typeof at === 'object' && at !== null ? offsets.get(at)?.get(part) : undefined;
    if (!next) break;
    found = next;
    at = (at as Record<string | number, unknown>)[part];
  }
  const scalar = typeof at !== 'object' || at === null;
  return place === 'value' && scalar ? found.value : found.key;
}

/** The nodes as plain data: one walk in the order of the text, so that an alias means the anchor before it. */
function plain(
  root: unknown,
  offsets: WeakMap<object, Map<string | number, Offsets>>,
  report: (path: KeyPath, offset: number, rule: string) => void,
): unknown {
  const anchors = new Map<string, unknown>();
  let nodes = 0;

  function convert(node: unknown, path: KeyPath): unknown {
    nodes += 1;
    if (nodes > maxNodes) throw new TooLargeError();
    if (isAlias(node)) {
      if (anchors.has(node.source)) return convert(anchors.get(node.source), path);
      report(
        path,
        node.range?.[0] ?? 0,
        'no anchor of this alias stands before it; text that begins with * must be quoted',
      );
      return undefined;
    }
    let value: unknown;
    if (isMap(node)) value = mapping(node.items, path);
    else if (isSeq(node)) value = list(node.items, path);
    else value = isScalar(node) ? node.value : null;
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.anchor) anchors.set(node.anchor, node);
    return value;
  }

  function list(items: readonly unknown[], path: KeyPath): unknown[] {
    const own = new Map<string | number, Offsets>();
    const values = items.map((item, index) => {
      const offset = startOf(item) ?? 0;
      own.set(index, { key: offset, value: offset });
      return convert(item, [...path, index]);
    });
    offsets.set(values, own);
    return values;
  }

  function mapping(items: readonly { key: unknown; value: unknown }[], path: KeyPath): object {
    const own = new Map<string | number, Offsets>();
    const entries = new Map<string, unknown>();
    const merges: unknown[] = [];
    for (const { key, value } of items) {
      const name = isScalar(key) ? String(key.value ?? '') : '';
      const keyOffset = startOf(key) ?? 0;
      if (name === '<<' && isScalar(key) && key.type === 'PLAIN') {
        const merged = convert(value, path);
        for (const source of Array.isArray(merged) ? merged : [merged]) {
          if (isMapping(source)) merges.push(source);
          else report([...path, name], keyOffset, 'must be an alias of a mapping, or a list of them');
        }
        continue;
      }
      if (own.has(name)) report([...path, name], keyOffset, 'must not be written twice');
      own.set(name, { key: keyOffset, value: startOf(value) ?? keyOffset });
      entries.set(name, convert(value, [...path, name]));
    }
    for (const source of merges) {
      for (const [name, value] of Object.entries(source as object)) {
        if (own.has(name)) continue;
        own.set(name, offsets.get(source as object)?.get(name) ?? { key: 0, value: 0 });
        entries.set(name, value);
      }
    }
    // fromEntries defines own properties, so a key "__proto__" is data too.
    const value = Object.fromEntries(entries);
    offsets.set(value, own);
    return value;
  }

  return convert(root, []);
}

function startOf(node: unknown): number | undefined {
  if (isScalar(node) || isMap(node) || isSeq(node) || isAlias(node)) return node.range?.[0];
  return undefined;
}

/** A YAML mapping or JSON object, no list. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
