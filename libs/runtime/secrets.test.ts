import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveSecret } from './secrets.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nemuri-secrets-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function secretFile(content: string): Promise<string> {
  const path = join(directory, 'secret');
  await writeFile(path, content);
  return `file:${path}`;
}

test('env:NAME is the variable, as it is', async () => {
  await expect(resolveSecret('env:BMC', { BMC: ' hunter2\n' })).resolves.toBe(' hunter2\n');
});

test.each([
  ['hunter2\n', 'hunter2'],
  ['hunter2\r\n', 'hunter2'],
  ['hunter2', 'hunter2'],
  ['hunter2\n\n', 'hunter2\n'],
  [' two words ', ' two words '],
])('file:/path is the content without one trailing newline: %j', async (content, secret) => {
  await expect(resolveSecret(await secretFile(content))).resolves.toBe(secret);
});

test('a file is read anew each time, so that a rotated secret is seen', async () => {
  const reference = await secretFile('old');
  await resolveSecret(reference);
  await secretFile('new');
  await expect(resolveSecret(reference)).resolves.toBe('new');
});

describe('errors name the reference and the rule', () => {
  test('a variable that is not set, or empty', async () => {
    await expect(resolveSecret('env:BMC', {})).rejects.toThrow(
      'secret env:BMC: this environment variable is not set',
    );
    await expect(resolveSecret('env:BMC', { BMC: '' })).rejects.toThrow(
      'secret env:BMC: this environment variable is empty',
    );
  });

  test('a file that is not there, empty, a directory or too large', async () => {
    await expect(resolveSecret('file:/nowhere/x')).rejects.toThrow(
      "secret file:/nowhere/x: this file can't be read (ENOENT)",
    );
    await expect(resolveSecret(`file:${directory}`)).rejects.toThrow('(not a regular file)');
    await expect(resolveSecret(await secretFile('\n'))).rejects.toThrow('this file is empty');
    await expect(resolveSecret(await secretFile('hunter2'.repeat(10_000)))).rejects.toThrow(
      'must have at most 65536 bytes',
    );
  });
});

test.each(['hunter2', 'ENV:hunter2', 'env:hunter 2', 'file:', ''])(
  'what is no reference may be the secret itself, and is not shown: %j',
  async (reference) => {
    const error = await resolveSecret(reference, { hunter2: 'x' }).catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe('Error: a secret must be named as env:NAME or file:/path (got (hidden))');
  },
);
