import type { Harness } from '../testing/harness.ts';
import { startPower } from './power.ts';
import { fakeMachines, unreachable } from './testing/fakeMachine.ts';
import { createScene, isType, type Scene } from './testing/scene.ts';

const about = { server: 's1', pool: 'web' };

let scene: Scene;
let harness: Harness;

beforeEach(() => {
  scene = createScene();
  harness = scene.harness;
});
afterEach(() => scene.close());

test('wakes what the decision wants, within the inrush bound, each fact before its command', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(2);
  await scene.becomeAsleep('s1', 's2');
  await scene.decide('s1', 's2');
  const first = await scene.next('WakeRequested');
  await scene.next('WakeAttempted', first.data.server);
  await scene.next('ServerPoweredOn', first.data.server);
  const other = first.data.server === 's1' ? 's2' : 's1';
  expect(scene.machines.machine(other).commands).toEqual([]);
  await harness.publish({
    type: 'ServerBecameHealthy',
    data: { server: first.data.server, pool: 'web', latencyMs: 1, consecutive: 2 },
  });
  await scene.next('ServerPoweredOn', other);
  expect(scene.machines.machine('s1').commands).toEqual(['wake']);
  expect(scene.machines.machine('s2').commands).toEqual(['wake']);
});

test('puts a server to sleep only after every live proxy has drained it', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  await scene.witnesses();
  await scene.decide('s2');
  const { data } = await scene.next('SleepRequested', 's1');
  expect(scene.machines.machine('s1').commands).toEqual([]);
  const drain = { ...about, proxy: 'p1', sleepId: data.sleepId };
  await harness.publish({ type: 'ServerDrained', data: { ...drain, elapsedMs: 5 } });
  await scene.next('SleepAttempted', 's1');
  await scene.next('ServerPoweredOff', 's1');
  expect(scene.machines.machine('s1').commands).toEqual(['graceful']);
  expect(scene.machines.machine('s2').commands).toEqual([]);
});

test('nothing sleeps without a live proxy and a live health service', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  await scene.decide('s2');
  await harness.publish({
    type: 'ServerCordoned',
    data: { server: 's2', reason: 'a later event', by: 'test' },
  });
  await harness.nextEvent('TELEMETRY', isType('PowerMetered'));
  expect(scene.power?.fleet().servers.s1?.lifecycle).toBe('ready');
  expect(scene.machines.machine('s1').commands).toEqual([]);
});

test('a cordon whose time is over is ended, also by a service that was away at its end', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  const about = { reason: 'new fan', by: 'ada' };
  const untilMs = Date.now() + 400;
  await harness.publish({ type: 'ServerCordoned', data: { server: 's1', untilMs, ...about } });
  const ended = await scene.next('CordonExpired', 's1');
  expect(ended).toMatchObject({ data: { server: 's1', pool: 'web', untilMs } });
  expect(ended.timeMs).toBeGreaterThanOrEqual(untilMs);
  await scene.power?.stop();
  await harness.publish({ type: 'ServerCordoned', data: { server: 's2', untilMs: Date.now(), ...about } });
  scene.power = await startPower(harness.context('power'), scene.machines.make);
  await scene.next('CordonExpired', 's2');
  expect(scene.machines.machine('s1').commands).toEqual([]);
});

test('a decision that turns during the drain calls the sleep off', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  await scene.witnesses();
  await scene.decide('s2');
  await scene.next('SleepRequested', 's1');
  await scene.decide('s1', 's2');
  await scene.next('SleepCancelled', 's1');
  expect(scene.machines.machine('s1').commands).toEqual([]);
});

test('a wake that the hardware refuses is named and tried again', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(1);
  await scene.becomeAsleep('s1');
  scene.machines.machine('s1').failure = unreachable();
  await scene.decide('s1');
  const failed = await scene.next('WakeAttemptFailed', 's1');
  expect(failed.data.error).toContain('the BMC does not answer');
  scene.machines.machine('s1').failure = undefined;
  await scene.next('ServerPoweredOn', 's1');
});

test('a machine that takes the wake and stays off climbs its ladder and is quarantined', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(1);
  await scene.becomeAsleep('s1');
  scene.machines.machine('s1').lies = true;
  await scene.decide('s1');
  await scene.next('WakeTimedOut', 's1');
  const { data } = await scene.next('ServerQuarantined', 's1');
  expect(data.reason).toContain('wake failed 1 times');
  expect(scene.machines.machine('s1').commands).toEqual(['wake', 'wake']);
});

test('hardware that can’t be read has an unknown power state, by name', async () => {
  await scene.start(1);
  await scene.becomeReady('s1');
  scene.machines.machine('s1').failure = unreachable();
  await scene.next('PowerStateLost', 's1');
  scene.machines.machine('s1').failure = undefined;
  const lost = await scene.next('PowerStateLost', 's1');
  await scene.next('ServerPoweredOn', 's1', lost.sequence);
});

test('hardware that says unknown, without an error, has an unknown power state too', async () => {
  await scene.start(1);
  await scene.becomeReady('s1');
  scene.machines.machine('s1').powerState = 'unknown';
  const { data } = await scene.next('PowerStateLost', 's1');
  expect(data.error).toBe('fake says that the power state is unknown');
});

test('without the bus, servers whose power nobody can read are woken too', async () => {
  scene.machines = fakeMachines('off', ['wake', 'sleep']);
  await scene.start(2, { bounds: { maxConcurrentWakes: 1 }, pool: { minServers: 2 } });
  await scene.next('PowerReadingUnavailable', 's2');
  harness.store.setReachable(false);
  await until(() => scene.machines.machine('s1').commands.length > 0);
  harness.store.setReachable(true);
});

test('fail awake is told when it begins, by planner or bus, and when it is over', async () => {
  await scene.start(1, { pool: { minServers: 1, planner: { leaseMs: 50 } } });
  const lost = await scene.next('FailAwakeStarted');
  expect(lost.data).toMatchObject({ pool: 'web', cause: 'planner' });
  expect(lost.data.reason).toContain('no decision of the planner');
  await scene.decide('s1');
  const over = await scene.next('FailAwakeEnded');
  scene.machines.machine('s1').powerState = 'off';
  harness.store.setReachable(false);
  await until(() => scene.machines.machine('s1').commands.length > 0);
  harness.store.setReachable(true);
  const byBus = await scene.next('FailAwakeStarted', undefined, over.sequence);
  expect(byBus.data).toMatchObject({ cause: 'bus', reason: expect.stringContaining('directly: s1') });
  await scene.next('FailAwakeEnded', undefined, byBus.sequence);
});

test('a button pressed by hand is drift, and the floor is woken again', async () => {
  await scene.start(1);
  await scene.becomeReady('s1');
  await scene.decide('s1');
  scene.machines.machine('s1').powerState = 'off';
  const drift = await scene.next('PowerDriftDetected', 's1');
  expect(drift.data).toMatchObject({ expected: 'on', observed: 'off', lifecycle: 'ready' });
  await scene.next('WakeAttempted', 's1');
});

test('without the bus the floor, then the pool, is woken by the hardware directly', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(3, {
    pool: { failAwake: 'pool', failAwakeAfterMs: 150 },
    bounds: { maxConcurrentWakes: 3 },
  });
  await scene.becomeAsleep('s1', 's2', 's3');
  harness.store.setReachable(false);
  const isOn = (server: string) => scene.machines.machine(server).powerState === 'on';
  const floorWoken = until(() => ['s1', 's2', 's3'].some(isOn));
  await floorWoken;
  expect(['s1', 's2', 's3'].filter(isOn)).toHaveLength(1);
  await until(() => ['s1', 's2', 's3'].every(isOn));
  harness.store.setReachable(true);
});

test('meters are measured where there is one, modelled and labelled so where not', async () => {
  await scene.start(2);
  scene.machines.machine('s2').powerWatts = undefined;
  const metered = (server: string) => harness.nextEvent('TELEMETRY', isType('PowerMetered', server));
  expect((await metered('s1')).data).toMatchObject({
    powerWatts: 150,
    meter: 'measured',
    meterSource: 'fake meter',
  });
  expect((await metered('s2')).data).toMatchObject({ meter: 'modelled' });
});

test('a restarted service knows what the last one knew and repeats no wake', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(1);
  await scene.becomeAsleep('s1');
  await scene.decide('s1');
  await scene.next('ServerPoweredOn', 's1');
  const before = scene.power?.fleet().servers;
  await scene.power?.stop();
  scene.power = await startPower(harness.context('power'), scene.machines.make);
  expect(scene.power.fleet().servers).toEqual(before);
  await harness.publish({ type: 'ServerBecameHealthy', data: { ...about, latencyMs: 1, consecutive: 2 } });
  await harness.nextEvent('TELEMETRY', isType('PowerMetered'));
  expect(scene.machines.machine('s1').commands).toEqual(['wake']);
});

/** Resolves when the condition holds; looks each time the event loop has come round. Rejects after 5 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error('the condition never held');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
