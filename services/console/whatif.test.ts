import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import { recordLoad } from './testing/pastLoad.ts';
import { openStage, type Stage } from './testing/stage.ts';
import { createWhatif, triedSettings, type WhatifQuestion } from './whatif.ts';

/** The what-if: its process, and its API on a recorded load. Needs `npm run build`. */

const question: WhatifQuestion = { pool: 'web', hours: 2, settings: { minServers: 2 } };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-whatif-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A program in the simulation's place. */
async function program(name: string, source: string): Promise<string> {
  const file = join(folder, `${name}.mjs`);
  await writeFile(file, `import { writeFileSync } from 'node:fs';\n${source}`);
  return file;
}

/** Resolves with what a program has written to a file of ours, once it has. */
async function written(file: string): Promise<string> {
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (text !== '') return text;
  }
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('what can be tried is what the configuration has, with its bounds', () => {
  const config = fleetConfig({ servers: 3, pool: { minServers: 2, planner: { risk: 0.01 } } });
  expect(triedSettings(config, 'web')).toEqual([
    { key: 'minServers', value: 2, minimum: 0, maximum: 3, isWhole: true },
    { key: 'spareServers', value: 0, minimum: 0, maximum: 3, isWhole: true },
    { key: 'planner.risk', value: 0.01, minimum: 0.000_001, maximum: 0.1, isWhole: false },
    { key: 'planner.headroom', value: 0, minimum: 0, maximum: 10, isWhole: false },
  ]);
  expect(triedSettings(config, 'constructor')).toBeUndefined();
});

test('is told the question, is nice to the services, and ends when nobody waits any more', async () => {
  const told = join(folder, 'told.json');
  const script = await program(
    'waits',
    `writeFileSync(${JSON.stringify(told)}, JSON.stringify([process.pid, process.argv.slice(2)])); setInterval(() => {}, 1000);`,
  );
  const whatif = createWhatif({ script, env: process.env });
  const abort = new AbortController();
  const asked = whatif.ask(question, abort.signal);
  const [pid, args] = JSON.parse(await written(told)) as [number, string[]];
  expect(args).toEqual(['--json', '--pool', 'web', '--since', '2h', '--set', 'minServers=2']);
  expect(getPriority(pid)).toBeGreaterThan(getPriority());
  await expect(whatif.ask(question, abort.signal)).rejects.toThrow('another what-if is under way');
  abort.abort();
  const next = new AbortController();
  const patient = whatif.ask(question, next.signal);
  await expect(asked).rejects.toThrow('it was called off');
  expect(isAlive(pid)).toBe(false);
  whatif.stop();
  await expect(patient).rejects.toThrow('it was called off');
});

test.each([
  ['takes too long', 'setInterval(() => {}, 1000);', 'it took longer than 0.2 s; choose a shorter time'],
  [
    'says no',
    `process.stderr.write('nemuri whatif: the history is too short: 3 s\\n'); process.exitCode = 2;`,
    'NEMURI_CAN_NOT_BE_DONE: the history is too short: 3 s',
  ],
  ['breaks without a word', 'process.exitCode = 7;', 'it ended with 7'],
  ['answers something else', `console.log('{}')`, 'in another form'],
])('one that %s is told, and the next may ask', async (name, source, problem) => {
  const whatif = createWhatif({
    script: await program(name.replaceAll(' ', '-'), source),
    env: process.env,
    ...(name === 'takes too long' ? { timeoutMs: 200 } : {}),
  });
  const { signal } = new AbortController();
  await expect(whatif.ask(question, signal)).rejects.toThrow(problem);
  await expect(whatif.ask(question, signal)).rejects.toThrow(problem);
});

describe('on a recorded load', () => {
  let stage: Stage;
  const energy = { offWatts: 5, idleWatts: 100, busyWatts: 200, setupWatts: 200, setupTimeMs: 20_000 };
  const headers = { 'content-type': 'application/json', 'x-nemuri-console': '1' };

  beforeAll(async () => {
    stage = await openStage({}, fleetConfig({ servers: 3, server: { capacityRps: 50, energy } }));
  });
  afterAll(() => stage.close());

  const ask = async (body: object, more: object = headers) => {
    const init = { method: 'POST', headers: { ...more }, body: JSON.stringify(body) };
    const response = await fetch(`${stage.address}/api/whatif`, init);
    return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
  };

  test('says that the history is too short, then what each configuration makes of it', async () => {
    const body = { pool: 'web', hours: 1, settings: { minServers: 3 } };
    const early = await ask(body);
    expect([early.status, early.answer.detail]).toEqual([
      409,
      'no load of pool web was recorded in that time',
    ]);

    await recordLoad(stage);

    const { settings } = (await (await fetch(`${stage.address}/api/whatif/web`)).json()) as {
      settings: object;
    };
    expect(settings).toMatchObject([{ key: 'minServers', value: 1, maximum: 3 }, {}, {}, {}]);
    const { status, answer } = await ask(body);
    expect([status, answer.whatif]).toMatchObject([200, { wakes: 0, lateFraction: 0 }]);
    expect(answer).toMatchObject({ pool: 'web', happened: { wakes: 0 } });
    const [now, whatif] = [answer.now, answer.whatif] as { energyWh: number; wakes: number }[];
    expect(now?.wakes).toBeGreaterThan(0);
    expect(whatif?.energyWh).toBeGreaterThan(now?.energyWh ?? Number.NaN);
    // It takes what others leave of the processor.
  }, 120_000);

  test.each<[string, object, number, RegExp]>([
    ['what is no setting', { 'planner.leaseMs': 1 }, 400, /planner\.leaseMs: is no setting/],
    ['half a server', { minServers: 1.5 }, 400, /must be a whole number/],
    ['more servers than there are', { minServers: 4 }, 400, /between 0 and 3/],
    ['nothing', {}, 400, /settings/],
  ])('refuses %s', async (_what, settings, status, detail) => {
    const refused = await ask({ pool: 'web', hours: 1, settings });
    expect([refused.status, refused.answer.detail]).toEqual([status, expect.stringMatching(detail)]);
  });

  test('refuses another pool, a long time, and another site', async () => {
    const settings = { minServers: 2 };
    expect((await ask({ pool: 'shop', hours: 1, settings })).status).toBe(404);
    expect((await ask({ pool: 'web', hours: 25, settings })).status).toBe(400);
    expect(
      (await ask({ pool: 'web', hours: 1, settings }, { 'content-type': 'application/json' })).status,
    ).toBe(403);
    expect((await fetch(`${stage.address}/api/whatif/shop`)).status).toBe(404);
  });
});
