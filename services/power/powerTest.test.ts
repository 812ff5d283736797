import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { PowerTestStep } from '../../libs/runtime/powerTest.ts';
import type { MakeDriver } from './driverSet.ts';
import { testPower } from './powerTest.ts';
import { fakeMachines, unreachable } from './testing/fakeMachine.ts';

const machines = (powerState: 'on' | 'off') => {
  const all = fakeMachines(powerState);
  return { make: all.make, machine: all.machine('s1') };
};

interface Run {
  readonly make: MakeDriver;
  readonly serves: () => boolean;
  readonly really?: boolean;
  readonly signal?: AbortSignal;
  readonly onStep?: (step: PowerTestStep) => void;
}

/** Runs the test on a clock that moves only when it waits. */
async function run({ make, serves, really = true, signal, onStep }: Run) {
  let nowMs = 0;
  const steps: PowerTestStep[] = [];
  const method = { tries: 2, confirmTimeoutMs: 3_000, gracefulOffTimeoutMs: 10_000 };
  const outcome = testPower({
    job: { server: 's1', config: fleetConfig({ servers: 1, method }), really },
    makeDriver: make,
    serves: async () => serves(),
    pause: async (delayMs) => {
      nowMs += delayMs;
    },
    nowMs: () => nowMs,
    onStep: (step) => {
      steps.push(step);
      onStep?.(step);
    },
    signal: signal ?? new AbortController().signal,
  });
  const ok = await outcome.catch((error: Error) => error.message);
  return { ok, steps, said: steps.map((step) => `${step.ok ? '' : 'not '}${step.step}`) };
}

const readings = ['reads', 'meters', 'wouldWake', 'wouldSleep'];

test('without --really it only reads and says', async () => {
  const { make, machine } = machines('on');
  const { ok, steps, said } = await run({ make, serves: () => true, really: false });
  expect([ok, said, machine.commands]).toEqual([true, readings, []]);
  expect(steps[0]).toMatchObject({ rung: 0, driver: 'fake', detail: 'on' });
  expect(steps[1]?.detail).toBe('150 W: fake meter');
});

test('what is on sleeps and is woken, what is off is woken and sleeps', async () => {
  const on = machines('on');
  const awake = await run({ make: on.make, serves: () => on.machine.powerState === 'on' });
  expect([awake.ok, awake.said]).toEqual([true, [...readings, 'sleeps', 'isOff', 'wakes', 'isOn', 'serves']]);
  expect(on.machine.commands).toEqual(['graceful', 'wake']);
  const off = machines('off');
  const asleep = await run({ make: off.make, serves: () => off.machine.powerState === 'on' });
  expect([asleep.ok, off.machine.commands, off.machine.powerState]).toEqual([
    true,
    ['wake', 'graceful'],
    'off',
  ]);
});

test('a machine that lies is found out, and is woken all the same', async () => {
  const { make, machine } = machines('on');
  machine.lies = true;
  const { ok, steps, said } = await run({ make, serves: () => true });
  expect([ok, said.slice(4)]).toEqual([false, ['sleeps', 'not isOff', 'wakes', 'isOn', 'serves']]);
  expect(steps.find(({ step }) => step === 'isOff')).toMatchObject({
    elapsedMs: 10_000,
    detail: 'not off within 10000 ms',
  });
});

test('one that is on and never serves fails, after each rung had its tries', async () => {
  const { make } = machines('off');
  expect((await run({ make, serves: () => false })).said.slice(4)).toEqual(['wakes', 'isOn', 'not serves']);
  const lazy = machines('off');
  lazy.machine.lies = true;
  const { ok, said } = await run({ make: lazy.make, serves: () => false });
  expect([ok, said.slice(4)]).toEqual([false, ['wakes', 'wakes', 'not isOn']]);
});

test('cancelled while it sleeps, it is woken first', async () => {
  const { make, machine } = machines('on');
  const abort = new AbortController();
  const onStep = ({ step }: PowerTestStep) => {
    if (step === 'isOff') abort.abort(new Error('stopped'));
  };
  await run({ make, serves: () => machine.powerState === 'on', signal: abort.signal, onStep });
  expect([machine.commands, machine.powerState]).toEqual([['graceful', 'wake'], 'on']);
});

test('what can not be read is left alone', async () => {
  const { make, machine } = machines('on');
  machine.failure = unreachable();
  const { ok, said } = await run({ make, serves: () => true });
  expect([ok, said]).toEqual([false, ['not reads', 'not meters', 'wouldWake', 'wouldSleep']]);
  machine.failure = undefined;
  machine.powerState = 'unknown';
  const unknown = await run({ make, serves: () => true });
  expect([unknown.ok, unknown.steps.at(-1)?.detail]).toEqual([
    false,
    'its power state is unknown: left alone',
  ]);
  expect(machine.commands).toEqual([]);
});

test('an agent is not asked: it would obey the history only', async () => {
  const { make, machine } = machines('on');
  const agent: MakeDriver = (server, method) => ({ ...make(server, method), name: 'agent' });
  const { ok, steps } = await run({ make: agent, serves: () => true });
  expect([ok, steps.at(-1)?.detail, machine.commands]).toEqual([
    false,
    'a cycle needs a method that sleeps without an agent and one that wakes',
    [],
  ]);
});

test('where nobody can read the power, silence is off', async () => {
  const { make, machine } = machines('on');
  const blind: MakeDriver = (server, method) => ({
    ...make(server, method),
    capabilities: new Set(['wake', 'sleep']),
  });
  const { ok, steps } = await run({ make: blind, serves: () => machine.powerState === 'on' });
  expect(ok).toBe(true);
  expect(steps.find(({ step }) => step === 'isOff')).toMatchObject({
    elapsedMs: 2_000,
    detail: 'silent 5 times; nobody can read its power',
  });
});
