import { open, stat } from 'node:fs/promises';

const maxSecretBytes = 64 * 1024;

/**
 * The secret that a reference of the configuration names: `env:NAME`, or `file:/path` (one trailing newline is
 * not part of it). Only the power service (BMCs), the health service (tokens of
 * heartbeats, webhooks) and the console (its own token) call this. Read anew at each call, so a rotated secret is seen.
 * @throws Error naming the reference and the rule, never what it refers to. What is no reference is not shown,
 * since it may be the secret itself.
 */
export async function resolveSecret(
  reference: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const [, variable] = /^env:([A-Za-z_][A-Za-z0-9_]*)$/.exec(reference) ?? [];
  if (variable !== undefined) {
    const value = env[variable];
    if (value === undefined) throw new Error(`secret ${reference}: this environment variable is not set`);
    if (value === '') throw new Error(`secret ${reference}: this environment variable is empty`);
    return value;
  }
  if (!/^file:./.test(reference))
    throw new Error('a secret must be named as env:NAME or file:/path (got (hidden))');
  const secret = (await readSecretFile(reference)).replace(/\r?\n$/, '');
  if (secret === '') throw new Error(`secret ${reference}: this file is empty`);
  return secret;
}

async function readSecretFile(reference: string): Promise<string> {
  const path = reference.slice('file:'.length);
  let bytes: Buffer;
  try {
    // A pipe or device could block or never end.
    if (!(await stat(path)).isFile()) throw Object.assign(new Error(), { code: 'not a regular file' });
    const handle = await open(path);
    try {
      const buffer = Buffer.alloc(maxSecretBytes + 1);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      bytes = buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    // The message of a file system error is left out: only its code is known to hold no content.
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`secret ${reference}: this file can't be read (${code ?? 'unknown error'})`);
  }
  if (bytes.length > maxSecretBytes) {
    throw new Error(`secret ${reference}: this file must have at most ${maxSecretBytes} bytes`);
  }
  return bytes.toString('utf8');
}
