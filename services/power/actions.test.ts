import { scriptedFleet, viewOf } from '../../libs/domain/testing/builders.ts';
import type { Capability, EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { LeaseLostError } from '../../libs/runtime/lease.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { type ActionsOptions, createActions } from './actions.ts';
import { createDriverSet } from './driverSet.ts';
import type { PowerDriver } from './drivers/driver.ts';
import { fakeMachines } from './testing/fakeMachine.ts';

let harness: Harness;
beforeEach(() => {
  harness = createHarness();
});
afterEach(() => harness.close());

const leading = () => ({ signal: new AbortController().signal, release: () => undefined });
const overtaken = () => ({
  signal: AbortSignal.abort(new LeaseLostError('power')),
  release: () => undefined,
});

/** Attempts the sleep of `s1`, whose driver can do these things. */
async function attemptSleep(
  capabilities: readonly Capability[],
  forced: boolean,
  guard: ActionsOptions['guard'] = leading,
  sleepRefusalsNow: ActionsOptions['sleepRefusalsNow'] = () => [],
) {
  const machines = fakeMachines('on');
  const script = scriptedFleet();
  const { config } = script.fleet;
  if (!config) throw new Error('not configured');
  await harness.configure(config);
  const { bus, log } = harness.context('power');
  const view = await openFleetView({ bus, name: 'power', onProblem: () => {} });
  const drivers = createDriverSet((server, method): PowerDriver => {
    const machine = machines.make(server, method);
    return {
      ...machine,
      capabilities: new Set(capabilities),
      async sleep(how, signal) {
        signal.throwIfAborted();
        await machine.sleep(how, signal);
      },
    };
  });
  drivers.configure(config);
  script.fact('SleepRequested', { server: 's1', pool: 'web', sleepId: 'sleep-1' });
  const server = viewOf(script.fleet, 's1');
  const { sleep } = server.state;
  if (!sleep) throw new Error('no sleep');
  const actions = createActions({
    view,
    drivers,
    log,
    serverView: () => server,
    sleepRefusalsNow,
    onSent: () => {},
    guard,
    nowMs: Date.now,
    newId: () => 'id',
  });
  const action = { kind: 'attemptSleep', server: 's1', sleep, rung: 0, attempt: 1, forced } as const;
  await actions.attempt(action);
  await view.close();
  return machines.machine('s1').commands;
}

const isAttempt = (event: RecordedEvent): event is EventOf<'SleepAttempted'> =>
  event.type === 'SleepAttempted';

test.each<[Capability[], boolean, string]>([
  [['sleep'], false, 'graceful'],
  [['sleep', 'forceOff'], true, 'forced'],
  [['sleep'], true, 'forced'],
])('a driver that can %p, forced %p: %s', async (capabilities, forced, command) => {
  expect(await attemptSleep(capabilities, forced)).toEqual([command]);
  expect((await harness.nextEvent('FLEET', isAttempt)).data).toMatchObject({ sleepId: 'sleep-1', forced });
});

test.each([overtaken, () => undefined])('nothing is sent once another replica leads', async (guard) => {
  expect(await attemptSleep(['sleep'], false, guard)).toEqual([]);
  expect((await harness.nextEvent('FLEET', isAttempt)).data).toMatchObject({ sleepId: 'sleep-1' });
});

test('what is learned while the driver gets through to the hardware holds the power-off back', async () => {
  const asking: ActionsOptions['guard'] = (objection) => {
    const throwIfAborted = () => {
      const objected = objection?.();
      if (objected) throw objected;
    };
    return { ...leading(), signal: Object.assign(new AbortController().signal, { throwIfAborted }) };
  };
  let asked = 0;
  const refusals = () => {
    asked += 1;
    // Well when the fact is stored and when the driver begins.
    return asked > 2 ? ['it is cordoned'] : [];
  };
  expect(await attemptSleep(['sleep'], false, asking, refusals)).toEqual([]);
  const failed = await harness.nextEvent(
    'FLEET',
    (event): event is EventOf<'SleepAttemptFailed'> => event.type === 'SleepAttemptFailed',
  );
  expect(failed.data).toMatchObject({ sleepId: 'sleep-1', error: 'held back: it is cordoned' });
});
