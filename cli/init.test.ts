import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMemoryStore } from '../libs/bus/mod.ts';
import { parseConfig } from '../libs/runtime/config.ts';
import type { Cli } from './cli.ts';
import { firstConfigYaml, nameFrom } from './firstConfig.ts';
import { runOnStore } from './testing/run.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-init-'));
  file = join(folder, 'nemuri.yaml');
});
afterEach(() => rm(folder, { recursive: true }));

const nemuri = (args: readonly string[], overrides: Partial<Cli> = {}) =>
  runOnStore(createMemoryStore(), args, overrides);

/** Answers in this order; an empty one takes the default. */
function answering(...answers: string[]): { ask: NonNullable<Cli['ask']>; questions: string[] } {
  const questions: string[] = [];
  return {
    questions,
    ask: async (question) => {
      questions.push(question);
      return answers[questions.length - 1] ?? '';
    },
  };
}

async function written() {
  const result = parseConfig(await readFile(file, 'utf8'), { file });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

const twoServers = ['--server', 'a-1=http://10.0.0.1:8080', '--server', 'a-2=http://10.0.0.2:8080'];

test('without a terminal it takes options and defaults, and validate accepts what it wrote', async () => {
  const { code, out, err } = await nemuri(['init', '-o', file, ...twoServers, '--capacity', '80']);
  expect([code, err]).toEqual([0, []]);
  expect(out[0]).toBe(`${file} is written: 2 servers in the pool web. Then:`);
  expect(out[1]).toBe(`  nemuri validate -c ${file}`);
  const byNpx = await nemuri(['init', '-o', file, '--force', ...twoServers, '--capacity', '80'], {
    env: { npm_command: 'exec' },
  });
  expect(byNpx.out[1]).toBe(`  npx nemuri validate -c ${file}`);
  expect(await nemuri(['validate', '-c', file])).toMatchObject({ code: 0 });
  expect((await written()).servers['a-2']).toMatchObject({ url: 'http://10.0.0.2:8080', capacityRps: 80 });
  expect(await nemuri(['power', 'test', '-c', file, '--server', 'a-1'])).toMatchObject({
    code: 1,
    err: [expect.stringMatching(/a-1 has no power method: .* docs\/power\.md/)],
  });
  expect((await readFile(file, 'utf8')).match(/#/g)?.length).toBeGreaterThan(10);
});

test('a file that is there stays, unless --force', async () => {
  await writeFile(file, 'mine');
  expect(await nemuri(['init', '-o', file, ...twoServers])).toMatchObject({
    code: 1,
    err: [`nemuri: ${file} is there already; --force replaces it`],
  });
  expect(await readFile(file, 'utf8')).toBe('mine');
  expect(await nemuri(['init', '-o', file, '--force', ...twoServers])).toMatchObject({ code: 0 });
});

test('on a terminal it asks, again where an answer makes no sense', async () => {
  const { ask, questions } = answering(
    'shop',
    '',
    'shop-1=http://10.0.0.1, shop-2=http://10.0.0.2',
    '/up',
    'lots',
    '40',
  );
  const { code, err } = await nemuri(['init', '-o', file], { ask });
  expect([code, err]).toEqual([0, ['It must be a number above 0.']]);
  expect(questions).toHaveLength(6);
  const config = await written();
  expect(Object.keys(config.pools)).toEqual(['shop']);
  expect(config.pools.shop?.healthCheck.probe).toMatchObject({ path: '/up' });
  expect(config.servers['shop-2']?.capacityRps).toBe(40);
});

test.each<[string[], number, string]>([
  [[], 2, 'name at least one server'],
  [['--server', 'web-1=ftp://10.0.0.1'], 2, "nothing is written: 1 answer can't be taken"],
  [['--bmc', '127.0.0.1:1'], 1, 'nothing is written: https://127.0.0.1:1: '],
  [['--bmc', '10.0.1.1', '--bmc-password', 'hunter2'], 2, 'never the password'],
])('%j is refused', async (args, expected, message) => {
  const { code, err } = await nemuri(['init', '-o', file, '--yes', ...args]);
  expect([code, err.join('\n')]).toEqual([expected, expect.stringContaining(message)]);
  await expect(readFile(file)).rejects.toThrow('ENOENT');
});

test('whatever a BMC says of itself stays a comment or a quoted text', () => {
  const system = {
    id: 'x"\n  evil: 1',
    model: 'Model\n# x\npools: {}',
    powerState: 'on',
    macs: ['52:54:00:12:34:56'],
    resetTypes: ['On', 'Force\nOff'],
  };
  const bmc = { url: 'https://10.0.1.1', username: 'n: "x"', password: 'env:P', system, several: true };
  const text = firstConfigYaml({
    pool: 'web',
    healthPath: '/a b"',
    servers: [{ name: 'web-1', url: 'http://10.0.0.1', capacityRps: 1, bmc }],
  }).replace('/a b\\"', '/');
  const result = parseConfig(text, { file });
  expect(result).toMatchObject({
    ok: true,
    config: { servers: { 'web-1': { power: [{ systemId: system.id, username: 'n: "x"' }] } } },
  });
});

test.each<[string | undefined, string[], string]>([
  ['Web-01.example.com', [], 'web-01'],
  ['web_1', [], 'web-1'],
  ['--', [], 'server-1'],
  [undefined, ['server-1'], 'server-2'],
  ['a', ['a', 'a-2'], 'a-3'],
])('the host name %s with %j taken is %s', (hostName, taken, name) => {
  expect(nameFrom(hostName, new Set(taken))).toBe(name);
});
