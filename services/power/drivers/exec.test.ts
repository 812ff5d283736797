import { setMaxListeners } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../../../libs/bus/testing/until.ts';
import { createExecDriver } from './exec.ts';
import { failureOf, kindOf, never } from './testing/bench.ts';
import { createWorkshop, deps, methodOf, secretText } from './testing/peers.ts';

const workshop = createWorkshop();
afterEach(() => workshop.clear());

const driverOf = (method: object, searchPath?: string) =>
  createExecDriver('web-1', methodOf('exec', method), searchPath ? { ...deps, searchPath } : deps);
const shell = (script: string) => ['/bin/sh', '-c', script];

test('the program gets its arguments as they are, and no more of the environment than it needs', async () => {
  const path = join(await workshop.folder(), 'seen');
  process.env.NEMURI_TEST_LEAK = 'leaked';
  const driver = driverOf({
    wake: ['/bin/sh', '-c', `printf '%s\\n' "$1" "$(env)" > ${path}`, 'name', '$(reboot); `id` "x" * \\'],
    environment: { RACK: 'b7' },
    secrets: { TOKEN: 'env:TOKEN' },
  });
  await driver.wake(never);
  delete process.env.NEMURI_TEST_LEAK;
  const [argument, ...environment] = (await readFile(path, 'utf8')).trim().split('\n');
  expect(argument).toBe('$(reboot); `id` "x" * \\');
  expect(environment).toEqual(
    expect.arrayContaining(['RACK=b7', `TOKEN=${secretText}`, 'NEMURI_SERVER=web-1', 'LC_ALL=C']),
  );
  expect(environment.join('\n')).not.toContain('leaked');
});

test.each<[number, string]>([
  [1, 'refused'],
  [64, 'unsupported'],
  [69, 'unreachable'],
  [75, 'busy'],
  [76, 'protocol'],
  [77, 'unauthorized'],
  [127, 'unsupported'],
])('exit code %d is %s', async (exitCode, kind) => {
  const driver = driverOf({ wake: shell(`echo "no  way" >&2; exit ${exitCode}`) });
  const failure = await failureOf(driver.wake(never));
  expect([failure.kind, failure.message]).toEqual([kind, `web-1: wake ended with ${exitCode}: no way`]);
});

test('a sleep is graceful or forced, each with its own command', async () => {
  const path = join(await workshop.folder(), 'done');
  const driver = driverOf({
    sleep: shell(`echo soft >> ${path}`),
    forcedSleep: shell(`echo hard >> ${path}`),
  });
  await driver.sleep('graceful', never);
  await driver.sleep('forced', never);
  expect(await readFile(path, 'utf8')).toBe('soft\nhard\n');
  expect(driver.capabilities).toEqual(new Set(['sleep', 'forceOff']));
  expect(await kindOf(driverOf({ sleep: shell('true') }).sleep('forced', never))).toBe('unsupported');
});

test.each(['on', 'off', 'poweringOn', 'poweringOff', 'unknown'])(
  'prints the power state %s',
  async (state) => {
    expect(await driverOf({ readPower: shell(`echo ${state}`) }).readPower(never)).toBe(state);
  },
);

test('a state that is none is not taken for one', async () => {
  const failure = await failureOf(driverOf({ readPower: shell('echo offline') }).readPower(never));
  expect([failure.kind, failure.message]).toEqual([
    'protocol',
    'web-1: readPower must print on or off (got "offline")',
  ]);
  expect(await kindOf(driverOf({ readPower: shell('echo off; exit 1') }).readPower(never))).toBe('refused');
});

test.each<[string, string, number | undefined]>([
  ['a figure', 'echo 212.5', 212.5],
  ['nothing', 'true', undefined],
  ['0 W while on', 'echo 0', undefined],
])('meter: %s', async (_what, script, powerWatts) => {
  const driver = driverOf({ meter: shell(script), readPower: shell('echo on') });
  expect(await driver.meter(never)).toEqual({ powerWatts, source: 'exec /bin/sh' });
});

test('0 W of a machine that is off is true; with nobody to ask it is unknown', async () => {
  const off = driverOf({ meter: shell('echo 0'), readPower: shell('echo off') });
  expect((await off.meter(never)).powerWatts).toBe(0);
  expect((await driverOf({ meter: shell('echo 0') }).meter(never)).powerWatts).toBeUndefined();
  expect(await kindOf(driverOf({ meter: shell('echo many') }).meter(never))).toBe('protocol');
});

describe('when it goes wrong', () => {
  function isAlive(pid: number): boolean {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  test('one that hangs is killed with its children', async () => {
    const path = join(await workshop.folder(), 'pid');
    const driver = driverOf({ wake: shell(`sleep 600 & echo $! > ${path}; wait`), commandTimeoutMs: 1_000 });
    const failure = await failureOf(driver.wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'unreachable',
      'web-1: /bin/sh did not end within 1000 ms',
    ]);
    const pid = Number(await readFile(path, 'utf8'));
    expect(pid).toBeGreaterThan(1);
    await until(() => !isAlive(pid));
  });

  test('readings wait for their turn, a command does not, and a cancelled wait leaves the queue', async () => {
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const path = join(await workshop.folder(), 'started');
    const reading = driverOf({ readPower: shell(`echo x >> ${path}; exec sleep 600`) });
    const readings = Array.from({ length: 40 }, () => reading.readPower(abort.signal));
    const outcomes = Promise.allSettled(readings);
    const started = () => (existsSync(path) ? readFileSync(path, 'utf8').length / 2 : 0);
    await until(() => started() === 32);
    await driverOf({ wake: shell('true') }).wake(never);
    expect(started()).toBe(32);
    abort.abort(new Error('stopping'));
    expect((await outcomes).every(({ status }) => status === 'rejected')).toBe(true);
    expect(await driverOf({ readPower: shell('echo on') }).readPower(never)).toBe('on');
  });

  test('one that is cancelled is killed, and the reason is thrown', async () => {
    const abort = new AbortController();
    const waking = driverOf({ wake: shell('exec sleep 600') }).wake(abort.signal);
    abort.abort(new Error('stopping'));
    await expect(waking).rejects.toThrow('stopping');
    await expect(driverOf({ wake: shell('true') }).wake(abort.signal)).rejects.toThrow('stopping');
  });

  test('endless output is cut off', async () => {
    const failure = await failureOf(driverOf({ readPower: ['yes'] }).readPower(never));
    expect([failure.kind, failure.message]).toEqual(['protocol', 'web-1: yes says more than 64 KiB']);
  });

  test('a program that is not there, or that crashes', async () => {
    const failure = await failureOf(driverOf({ wake: ['no-such-program'] }).wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'unsupported',
      "web-1: no-such-program can't be run (ENOENT): is it installed?",
    ]);
    expect(await kindOf(driverOf({ wake: shell('kill -SEGV $$') }).wake(never))).toBe('protocol');
  });

  test('what echoes the secret is cleaned, and a secret that is missing is named by its reference', async () => {
    const echo = { wake: shell('echo "bad token $TOKEN" >&2; exit 77'), secrets: { TOKEN: 'env:TOKEN' } };
    expect((await failureOf(driverOf(echo).wake(never))).message).toBe(
      'web-1: wake ended with 77: bad token ***',
    );
    const missing = createExecDriver('web-1', methodOf('exec', echo), {
      ...deps,
      resolveSecret: () => {
        throw Object.assign(new Error(`half of ${secretText}`), { code: 'EACCES' });
      },
    });
    const failure = await failureOf(missing.wake(never));
    expect([failure.kind, failure.message]).toEqual([
      'unauthorized',
      "web-1: the secret env:TOKEN can't be read (EACCES)",
    ]);
  });
});
