import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox';
import { describeValue, didYouMean, type Finding, type KeyPath } from './configProblem.ts';
import { isMapping } from './configYaml.ts';

/** Words for the patterns of the schema: no reader should have to read a regular expression. */
const patternWords: readonly (readonly [beginsWith: string, words: string])[] = [
  ['^(env:', 'must say where the secret is: env:NAME or file:/path, never the secret itself'],
  [
    '^https?://',
    'must be a URL of scheme, host and port only (no user name, no password), such as http://10.0.0.11:8080',
  ],
  ['^[a-z0-9](', 'must be a name of lower-case letters, digits and inner hyphens, at most 63 characters'],
  ['^([0-9A-Fa-f]{2}:){31}', 'must be a SHA-256 fingerprint: 32 bytes in hex parted by colons'],
  ['^/', 'must begin with /'],
  ['^[A-Za-z0-9\\[]([', 'must be a host name or address, without scheme and port'],
  ['^([0-9A-Fa-f]{2}[:-]){5}', 'must be a MAC address, such as 52:54:00:12:34:56'],
  ['^((25[0-5]', 'must be an IPv4 address'],
  ['^\\.?\\d+(', 'must be an OID in figures, such as 1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.7'],
  ['^(ssh|ecdsa|sk)-', 'must be a public host key: its kind and its base64, such as "ssh-ed25519 AAAA…"'],
  ['^[A-Za-z0-9_][A-Za-z0-9_.@', 'must be a user name'],
];

/**
 * Every way in which `value` breaks `schema`, all at once. A key with a default may be missing. Of a union the
 * branch that the value means (by its `driver`, `kind`, …) is the one that is reported on.
 * Knows the kinds of schema that a configuration is made of; what else there is must be checked by TypeBox after.
 */
export function checkShape(schema: TSchema, value: unknown, path: KeyPath = []): Finding[] {
  if (KindGuard.IsObject(schema)) return checkObject(schema, value, path);
  if (KindGuard.IsRecord(schema)) return checkRecord(schema, value, path);
  if (KindGuard.IsArray(schema)) {
    if (!Array.isArray(value)) return [wrong(path, value, 'must be a list')];
    const findings = value.flatMap((item, index) => checkShape(schema.items, item, [...path, index]));
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
    if (value.length < minItems) findings.push(wrong(path, value, `must have at least ${minItems} entry`));
    if (value.length > maxItems) findings.push(wrong(path, value, `must have at most ${maxItems} entries`));
    return findings;
  }
  if (KindGuard.IsUnion(schema)) return checkUnion(schema.anyOf, value, path);
  const rule = ruleBroken(schema, value, path);
  if (rule === undefined) return [];
  // What stands where a reference belongs may be the secret, whatever its key is called.
  const secret = typeof value === 'string' && String(schema.pattern).startsWith('^(env:');
  return [secret ? { path, place: 'value', rule, value: '(hidden)' } : wrong(path, value, rule)];
}

function wrong(path: KeyPath, value: unknown, rule: string): Finding {
  return { path, place: 'value', rule, value: describeValue(path, value) };
}

function checkObject(schema: TObject, value: unknown, path: KeyPath): Finding[] {
  if (!isMapping(value)) return [wrong(path, value, notMapping(value))];
  const findings: Finding[] = [];
  const known = Object.keys(schema.properties);
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (schema.additionalProperties === false) {
    for (const key of unknown) {
      const missing = known.filter((name) => !Object.hasOwn(value, name));
      const rule = `unknown key${didYouMean(key, missing)}`;
      findings.push({ path: [...path, key], place: 'key', rule, value: describeValue([], key) });
    }
  }
  for (const [key, property] of Object.entries(schema.properties)) {
    if (Object.hasOwn(value, key)) {
      findings.push(...checkShape(property, value[key], [...path, key]));
    } else if (schema.required?.includes(key) && property.default === undefined) {
      findings.push({ path: [...path, key], place: 'parent', rule: `is missing: ${ruleOf(property)}` });
    }
  }
  return findings;
}

function checkRecord(schema: TSchema, value: unknown, path: KeyPath): Finding[] {
  if (!isMapping(value)) return [wrong(path, value, notMapping(value))];
  const [pattern, inner] = Object.entries(schema.patternProperties as Record<string, TSchema>)[0] ?? [];
  const name = new RegExp(pattern ?? '');
  const entries = Object.entries(value);
  const findings = entries.flatMap(([key, item]): Finding[] => {
    const own = [...path, key];
    // A map of servers by name must not answer with what every object has.
    if (name.test(key) && !(key in Object.prototype)) return inner ? checkShape(inner, item, own) : [];
    const rule = name.test(key) ? 'is a reserved word: take another name' : wordsOf(pattern ?? '');
    return [{ path: own, place: 'key', rule, value: describeValue([], key) }];
  });
  const minimum = schema.minProperties ?? 0;
  if (entries.length < minimum) findings.push(wrong(path, value, `must have at least ${minimum} entry`));
  return findings;
}

function notMapping(value: unknown): string {
  return value === null ? 'must be a mapping; write {} when nothing is to be set' : 'must be a mapping';
}

function checkUnion(branches: readonly TSchema[], value: unknown, path: KeyPath): Finding[] {
  if (branches.every((branch) => KindGuard.IsLiteral(branch))) {
    const allowed = branches.map((branch) => branch.const as unknown);
    if (allowed.includes(value)) return [];
    const hint = typeof value === 'string' ? didYouMean(value, allowed.map(String)) : '';
    return [wrong(path, value, `must be ${alternatives(allowed)}${hint}`)];
  }
  const tag = tagOf(branches);
  if (tag !== undefined) {
    if (!isMapping(value)) return [wrong(path, value, 'must be a mapping')];
    const intended = intendedBranch(branches, value);
    if (intended) return checkShape(intended, value, path);
    const allowed = branches.map((branch) => branch.properties[tag].const as unknown);
    const rule = `must be ${alternatives(allowed)}`;
    if (!Object.hasOwn(value, tag))
      return [{ path: [...path, tag], place: 'parent', rule: `is missing: ${rule}` }];
    const given = value[tag];
    const hint = typeof given === 'string' ? didYouMean(given, allowed.map(String)) : '';
    return [wrong([...path, tag], given, `${rule}${hint}`)];
  }
  const tried = branches.map((branch) => checkShape(branch, value, path));
  if (tried.some((findings) => findings.length === 0)) return [];
  // The branch with the fewest mistakes is the likeliest to be meant.
  return tried.reduce((best, findings) => (findings.length < best.length ? findings : best));
}

/** The branch of a union of objects that a value means, by the literal (`driver`, `kind`) all branches have. */
function intendedBranch(branches: readonly TSchema[], value: Record<string, unknown>): TSchema | undefined {
  const tag = tagOf(branches);
  return tag === undefined
    ? undefined
    : branches.find((branch) => branch.properties[tag].const === value[tag]);
}

/** The key that tells the branches of a union of objects apart: a literal in each. */
function tagOf(branches: readonly TSchema[]): string | undefined {
  const [first] = branches;
  if (!first || !branches.every((branch) => KindGuard.IsObject(branch))) return undefined;
  const isTag = (key: string) => branches.every((branch) => KindGuard.IsLiteral(branch.properties[key]));
  return Object.keys(first.properties).find(isTag);
}

function alternatives(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(' or ');
}

function ruleBroken(schema: TSchema, value: unknown, path: KeyPath): string | undefined {
  const rule = ruleOf(schema);
  if (KindGuard.IsLiteral(schema)) return value === schema.const ? undefined : rule;
  if (KindGuard.IsBoolean(schema)) return typeof value === 'boolean' ? undefined : rule;
  if (KindGuard.IsString(schema)) {
    if (typeof value !== 'string') return rule;
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern = '' } = schema;
    const fits = value.length >= minLength && value.length <= maxLength && new RegExp(pattern).test(value);
    return fits ? undefined : rule;
  }
  if (KindGuard.IsNumber(schema) || KindGuard.IsInteger(schema)) {
    const milliseconds = String(path.at(-1)).endsWith('Ms') ? ', in milliseconds' : '';
    if (typeof value !== 'number' || !Number.isFinite(value)) return rule + milliseconds;
    const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity } = schema;
    const inside = value >= minimum && value <= maximum && value > exclusiveMinimum;
    return inside && (Number.isInteger(value) || !KindGuard.IsInteger(schema))
      ? undefined
      : rule + milliseconds;
  }
  return undefined;
}

/** What a value of this schema must be, in words. */
function ruleOf(schema: TSchema): string {
  if (KindGuard.IsLiteral(schema)) return `must be ${JSON.stringify(schema.const)}`;
  if (KindGuard.IsBoolean(schema)) return 'must be true or false';
  if (KindGuard.IsString(schema)) {
    return schema.pattern === undefined ? 'must be text, and not empty' : wordsOf(schema.pattern);
  }
  if (KindGuard.IsNumber(schema) || KindGuard.IsInteger(schema)) {
    const kind = KindGuard.IsInteger(schema) ? 'must be a whole number' : 'must be a number';
    const { minimum, maximum, exclusiveMinimum } = schema;
    if (minimum !== undefined && maximum !== undefined) return `${kind} from ${minimum} to ${maximum}`;
    if (minimum !== undefined) return `${kind} of at least ${minimum}`;
    return exclusiveMinimum === undefined ? kind : `${kind} above ${exclusiveMinimum}`;
  }
  if (KindGuard.IsArray(schema)) return 'must be a list';
  return 'must be a mapping';
}

function wordsOf(pattern: string): string {
  const words = patternWords.find(([beginsWith]) => pattern.startsWith(beginsWith));
  return words ? words[1] : `must match ${pattern}`;
}
