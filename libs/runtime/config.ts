import { open } from 'node:fs/promises';
import { Value } from '@sinclair/typebox/value';
import { type FleetConfig, FleetConfigSchema } from '../events/mod.ts';
import { type ConfigProblem, type Finding, keyOf } from './configProblem.ts';
import { checkRules } from './configRules.ts';
import { checkShape } from './configShape.ts';
import { readYaml } from './configYaml.ts';

export { type ConfigProblem, formatProblem } from './configProblem.ts';

export type ConfigResult =
  | { readonly ok: true; readonly config: FleetConfig }
  /** All problems of the file, in the order of its lines; at least one. */
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** A configuration of 2,000 servers has about 1 MiB. */
export const maxConfigBytes = 4 * 1024 * 1024;
/** What `FleetConfigured` may have as JSON with every default filled in: a little less than an event may have. */
const maxFilledBytes = 4 * 1024 * 1024 - 1_024;
const maxProblems = 1_000;

/**
 * Reads a configuration: YAML 1.2 (so JSON too), checked against the schema and against the rules between its
 * parts, with every default filled in. Never throws: every mistake of the text comes back at once.
 * @param file the name that problems carry; nothing is read from it.
 */
export function parseConfig(text: string, { file }: { readonly file: string }): ConfigResult {
  if (Buffer.byteLength(text) > maxConfigBytes) {
    return refused(file, [{ file, line: 1, key: '', rule: `must have at most ${maxConfigBytes} bytes` }]);
  }
  if (text.includes('\0')) return refused(file, [{ file, line: 1, key: '', rule: 'must be text' }]);
  const yaml = readYaml(text);
  if (yaml.problems.length > 0) {
    const problems = yaml.problems.map(({ path, rule, line, column }) => {
      return { file, line, column, key: keyOf(path), rule };
    });
    return refused(file, problems);
  }
  if (yaml.value === null || yaml.value === undefined) {
    return refused(file, [{ file, line: 1, key: '', rule: 'must be a configuration; it is empty' }]);
  }
  const filled = Value.Default(FleetConfigSchema, structuredClone(yaml.value));
  const findings = [...checkShape(FleetConfigSchema, yaml.value), ...checkRules(filled)];
  if (findings.length > 0) {
    return refused(
      file,
      findings.map((finding) => located(file, finding, yaml.placeOf(finding.path, finding.place))),
    );
  }
  if (!Value.Check(FleetConfigSchema, filled)) {
    const rest = Value.Errors(FleetConfigSchema, filled).First();
    if (!rest) throw new Error('TypeBox refuses a configuration and names no error');
    const path = rest.path.split('/').slice(1);
    return refused(file, [{ file, ...yaml.placeOf(path, 'value'), key: keyOf(path), rule: rest.message }]);
  }
  if (Buffer.byteLength(JSON.stringify(filled)) > maxFilledBytes) {
    const rule = `must have at most ${maxFilledBytes} bytes as JSON with all defaults: use fewer servers`;
    return refused(file, [{ file, line: 1, key: '', rule }]);
  }
  return { ok: true, config: filled };
}

function located(
  file: string,
  { path, rule, value }: Finding,
  { line, column }: { readonly line: number; readonly column: number },
): ConfigProblem {
  return { file, line, column, key: keyOf(path), rule, ...(value === undefined ? {} : { value }) };
}

function refused(file: string, problems: readonly ConfigProblem[]): ConfigResult {
  const sorted = problems.toSorted(
    (a, b) => a.line - b.line || (a.column ?? 0) - (b.column ?? 0) || a.key.localeCompare(b.key),
  );
  if (sorted.length <= maxProblems) return { ok: false, problems: sorted };
  const shown = sorted.slice(0, maxProblems);
  const line = shown.at(-1)?.line ?? 1;
  const rule = `and ${sorted.length - maxProblems} more problems from here on`;
  return { ok: false, problems: [...shown, { file, line, key: '', rule }] };
}

/** The file is not there, or holds no text. */
export class UnreadableConfigError extends Error {
  readonly why: string;
  constructor(file: string, why: string, options?: ErrorOptions) {
    super(`${file} ${why}`, options);
    this.name = 'UnreadableConfigError';
    this.why = why;
  }
}

/**
 * The text of a configuration file, UTF-8, read up to its bound and no further.
 * @throws UnreadableConfigError naming the file and why it can't be read.
 */
export async function readConfigFile(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const { size } = await handle.stat();
      if (size > maxConfigBytes) throw new Error(`must have at most ${maxConfigBytes} bytes (got ${size})`);
      const bytes = Buffer.alloc(maxConfigBytes + 1);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await handle.read(bytes, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new UnreadableConfigError(file, `can't be read: ${whyUnreadable(error)}`, { cause: error });
  }
}

function whyUnreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a directory';
    case 'ERR_ENCODING_INVALID_ENCODED_DATA':
      return 'it is not UTF-8 text';
    default:
      return code ?? message;
  }
}
