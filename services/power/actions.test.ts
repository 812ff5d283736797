import { fleetConfig, scriptedFleet, viewOf } from '../../libs/domain/testing/builders.ts';
import type { Capability, EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { createActions } from './actions.ts';
import { createDriverSet } from './driverSet.ts';
import { DriverError, type PowerDriver } from './drivers/driver.ts';
import { fakeMachines } from './testing/fakeMachine.ts';

let harness: Harness;
beforeEach(() => {
  harness = createHarness();
});
afterEach(() => harness.close());

/** Attempts the sleep of `s1`, whose driver can do these things. */
async function attemptSleep(capabilities: readonly Capability[], forced: boolean) {
  const machines = fakeMachines('on');
  const script = scriptedFleet();
  const { config } = script.fleet;
  if (!config) throw new Error('not configured');
  await harness.configure(config);
  const { bus, log } = harness.context('power');
  const view = await openFleetView({ bus, name: 'power', onProblem: () => {} });
  const drivers = createDriverSet((server, method): PowerDriver => {
    return { ...machines.make(server, method), capabilities: new Set(capabilities) };
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
    sleepRefusalsNow: () => [],
    onSent: () => {},
    signal: new AbortController().signal,
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

test.each([
  ['unreachable', true, ['mute', 'other']],
  ['unreachable', false, ['mute', 'mute']],
  ['refused', true, ['mute', 'mute']],
] as const)('by a first method that is %s, with a server that is broken: %s', async (kind, mend, tried) => {
  const script = scriptedFleet(fleetConfig({ rungs: 2 }));
  await harness.configure(script.fleet.config ?? fleetConfig());
  const { bus, log } = harness.context('power');
  const view = await openFleetView({ bus, name: 'power', onProblem: () => {} });
  const made: string[] = [];
  const asked: string[] = [];
  const drivers = createDriverSet((server, method): PowerDriver => {
    const name = made.filter((known) => known === server).length === 0 ? 'mute' : 'other';
    made.push(server);
    const sleep = async () => {
      asked.push(name);
      if (name === 'mute') throw new DriverError(kind, 'no');
    };
    return { ...fakeMachines('on').make(server, method), name, sleep };
  });
  drivers.configure(script.fleet.config);
  script.fact('SleepRequested', { server: 's1', pool: 'web', sleepId: 'sleep-1', mend });
  const server = viewOf(script.fleet, 's1');
  const { sleep } = server.state;
  if (!sleep) throw new Error('no sleep');
  const actions = createActions({
    view,
    drivers,
    log,
    serverView: () => server,
    sleepRefusalsNow: () => [],
    onSent: () => {},
    signal: new AbortController().signal,
    nowMs: Date.now,
    newId: () => 'id',
  });
  const forced = false;
  await actions.attempt({ kind: 'attemptSleep', server: 's1', sleep, attempt: 1, forced });
  await actions.attempt({ kind: 'attemptSleep', server: 's1', sleep, attempt: 2, forced });
  await view.close();
  expect(asked).toEqual([...tried]);
});
