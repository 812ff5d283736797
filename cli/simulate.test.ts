import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { runCli } from './program.ts';

let directory: string;
let trace: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nemuri-simulate-'));
  trace = join(directory, 'load.csv');
  const rows = Array.from({ length: 60 }, (_none, minute) => `${minute},${100 + minute}`);
  await writeFile(trace, `minute,requests\n${rows.join('\n')}\n`);
});
afterEach(() => rm(directory, { recursive: true }));

/** Runs the built simulation, as a user does. */
async function simulate(...args: readonly string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(
    ['simulate', ...args],
    {
      out: (line) => void out.push(line),
      err: (line) => void err.push(line),
      env: {},
      nowMs: Date.now,
      signal: new AbortController().signal,
      distDir: join(__dirname, '../dist'),
      connect: async () => openMemoryBus(createMemoryStore(), { source: 'cli' }),
    },
    '1.2.3',
  );
  return { code, out, err };
}

test('ends with one line of JSON, the same for the same seed', async () => {
  const run = async () => {
    const { code, out, err } = await simulate(
      '--trace',
      trace,
      '--policy',
      'peakHold',
      '--json',
      '--seed',
      '5',
    );
    expect({ code, err, lines: out.length }).toEqual({ code: 0, err: [], lines: 1 });
    return JSON.parse(out[0] ?? '') as Record<string, unknown>;
  };
  const [first, second] = await Promise.all([run(), run()]);
  expect(first).toEqual({
    policy: 'peakHold',
    trace,
    seed: 5,
    energyWh: expect.any(Number),
    vsOptimal: expect.any(Number),
    vsAlwaysOn: expect.any(Number),
    lateFraction: expect.any(Number),
    refusedFraction: 0,
    cyclesPerServerDay: expect.any(Number),
    decideMicros: { p50: expect.any(Number), p99: expect.any(Number) },
    simulatedSecondsPerSecond: expect.any(Number),
    simulatedSeconds: 3_600,
    requests: expect.any(Number),
    wakes: expect.any(Number),
    servers: 14,
    cappedRequests: expect.any(Number),
    cappedSeconds: expect.any(Number),
  });
  const untimed = (report: typeof first) => ({ ...report, decideMicros: 0, simulatedSecondsPerSecond: 0 });
  expect(untimed(first)).toEqual(untimed(second));
});

test('says what is wrong with an option and with a series', async () => {
  expect(await simulate('--trace', trace, '--servers', 'many')).toMatchObject({
    code: 2,
    err: [expect.stringContaining('--servers must be a number'), expect.any(String)],
  });
  await writeFile(trace, 'minute,requests\n0,1\n1,-5\n');
  expect(await simulate('--trace', trace, '--policy', 'kpa')).toMatchObject({
    code: 2,
    err: [expect.stringContaining('line 3'), expect.any(String)],
  });
});

test('lists its options', async () => {
  const { code, out } = await simulate('--help');
  expect(code).toBe(0);
  expect(out.join('\n')).toContain('--wake-failure X');
});
