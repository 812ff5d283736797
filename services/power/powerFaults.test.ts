import { seededRandom } from '../../lab/rack/random.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { DriverError } from './drivers/driver.ts';
import { fakeMachines, unreachable } from './testing/fakeMachine.ts';
import { createScene, isType, type Scene } from './testing/scene.ts';

/** What hardware does wrong: in each case no server counts that does not serve, a fact names it, nobody has to come. */

let scene: Scene;

beforeEach(() => {
  scene = createScene();
});
afterEach(() => scene.close());

const state = (server: string) => scene.power?.fleet().servers[server];
/** The service has looked at everything at least once more: each look of a meter is one of its rounds. */
const later = async () => {
  const last = await scene.harness.bus.lastSequence('TELEMETRY');
  for (let more = 1; more <= 6; more += 1)
    await scene.harness.nextEvent('TELEMETRY', isType('PowerMetered', 's1'), last + more);
};

async function asleep(servers: number, overrides: object = {}): Promise<void> {
  scene.machines = fakeMachines('off');
  await scene.start(servers, overrides);
  await scene.becomeAsleep(...Array.from({ length: servers }, (_, index) => `s${index + 1}`));
}

test('a BMC that refuses: overdue at once, so that a substitute may be wanted, and awake when it heals', async () => {
  await asleep(2);
  scene.machines.machine('s1').failure = new DriverError('busy', '503, empty');
  await scene.decide('s1');
  const { data } = await scene.next('WakeOverdue', 's1');
  expect(data).toMatchObject({ milestone: 'taken', expectedMs: 0 });
  expect(state('s1')).toMatchObject({ lifecycle: 'waking', wake: { overdueAtMs: expect.any(Number) } });
  scene.machines.machine('s1').failure = undefined;
  await scene.becomeReady('s1');
  expect(state('s1')?.wake).toBeUndefined();
});

test('On that lies: named, climbed, quarantined, and tried again after its quarantine', async () => {
  await asleep(1, { rungs: 2, bounds: { quarantineMs: 50 } });
  scene.machines.machine('s1').lies = true;
  await scene.decide('s1');
  expect((await scene.next('WakeOverdue', 's1')).data).toMatchObject({ milestone: 'on' });
  const timedOut = await scene.next('WakeTimedOut', 's1');
  expect(timedOut.data.reason).toContain('the last rung of the wake ladder has failed');
  const quarantined = await scene.next('ServerQuarantined', 's1');
  expect(state('s1')?.lifecycle).not.toBe('ready');
  scene.machines.machine('s1').lies = false;
  await scene.next('WakeRequested', 's1', quarantined.sequence);
  await scene.next('ServerPoweredOn', 's1', quarantined.sequence);
});

test('30 % of all magic packets lost: every server wakes by the tries of its ladder', async () => {
  await asleep(8, { bounds: { maxConcurrentWakes: 8 }, method: { tries: 8, confirmTimeoutMs: 60 } });
  const random = seededRandom(4);
  const names = Array.from({ length: 8 }, (_, index) => `s${index + 1}`);
  let lost = 0;
  for (const name of names) {
    scene.machines.machine(name).loses = () => {
      const isLost = random() < 0.3;
      if (isLost) lost += 1;
      return isLost;
    };
  }
  await scene.decide(...names);
  await scene.becomeReady(...names);
  expect(lost).toBeGreaterThan(0);
});

test('a boot three times as slow as learned: overdue, waited for, ready, and learned', async () => {
  const energy = { setupTimeMs: 100 };
  await asleep(1, { server: { energy }, method: { allowForceOff: true } });
  await scene.decide('s1');
  await scene.next('ServerPoweredOn', 's1');
  const { data } = await scene.next('WakeOverdue', 's1');
  expect(data).toMatchObject({ milestone: 'ready', expectedMs: 150 });
  expect(data.elapsedMs).toBeGreaterThan(150);
  await scene.serve('s1');
  await scene.harness.publish({ type: 'ServerCordoned', data: { server: 's1', reason: 'end', by: 'test' } });
  await scene.next('ServerCordoned', 's1');
  await later();
  expect(state('s1')).toMatchObject({ lifecycle: 'ready', failedWakes: 0 });
  expect(state('s1')?.setupTimesMs).toHaveLength(1);
  expect(scene.machines.machine('s1').commands).toEqual(['wake']);
});

test('the button switches a sleeper on: drift, looked at, and put back to sleep when it serves unasked', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  await scene.witnesses();
  await scene.decide('s2');
  await scene.drained('s1');
  await scene.becomeAsleep('s1');
  scene.machines.machine('s1').powerState = 'on';
  const drift = await scene.next('PowerDriftDetected', 's1');
  expect(drift.data).toMatchObject({ expected: 'off', observed: 'on', lifecycle: 'asleep' });
  await scene.next('ServerPoweredOn', 's1', drift.sequence);
  expect(state('s1')?.lifecycle).toBe('waking');
  await scene.serve('s1');
  const again = await scene.next('SleepRequested', 's1', drift.sequence);
  expect(again.data.reason).toContain('decided');
});

test('a BMC whose readings flap does not flap the fleet', async () => {
  await scene.start(1);
  await scene.becomeReady('s1');
  await scene.decide('s1');
  const machine = scene.machines.machine('s1');
  const before = await scene.harness.bus.lastSequence('FLEET');
  let reads = 0;
  Object.defineProperty(machine, 'powerState', {
    configurable: true,
    get: () => (reads++ % 2 === 0 ? 'off' : 'on'),
    set: () => {},
  });
  while (reads < 30) await new Promise((resolve) => setImmediate(resolve));
  expect(await scene.harness.bus.lastSequence('FLEET')).toBe(before);
  expect(machine.commands).toEqual([]);
});

test('a BMC that can’t be reached: power unknown, the server left alone, and settled when it answers', async () => {
  await scene.start(2);
  await scene.becomeReady('s1', 's2');
  await scene.witnesses();
  scene.machines.machine('s1').failure = unreachable();
  const lost = await scene.next('PowerStateLost', 's1');
  await scene.decide('s2');
  await later();
  expect(state('s1')).toMatchObject({ lifecycle: 'ready', powerState: 'unknown' });
  expect(scene.machines.machine('s1').commands).toEqual([]);
  scene.machines.machine('s1').failure = undefined;
  await scene.next('ServerPoweredOn', 's1', lost.sequence);
  await scene.next('SleepRequested', 's1', lost.sequence);
});

test('a pool of one hung box is power-cycled by itself, forced because that is allowed, and serves again', async () => {
  const method = { allowForceOff: true, gracefulOffTimeoutMs: 40 };
  await scene.start(1, { bounds: { hungAfterMs: 50 }, method });
  await scene.becomeReady('s1');
  await scene.witnesses();
  await scene.decide('s1');
  const machine = scene.machines.machine('s1');
  const sick = { server: 's1', pool: 'web', reason: 'no answer', consecutive: 3 };
  await scene.harness.publish({ type: 'ServerBecameUnhealthy', data: sick });
  const { data, sequence } = await scene.next('SleepRequested', 's1');
  expect(data).toMatchObject({ mend: true, reason: expect.stringContaining('power cycle') });
  // Its system does not hear a graceful shutdown.
  machine.lies = true;
  await scene.drained('s1');
  await scene.next('SleepAttempted', 's1');
  machine.lies = false;
  await scene.next('ServerPoweredOff', 's1', sequence);
  await scene.next('WakeAttempted', 's1', sequence);
  await scene.next('ServerPoweredOn', 's1', sequence);
  await scene.serve('s1');
  await later();
  expect(state('s1')).toMatchObject({ lifecycle: 'ready', health: 'healthy' });
  expect(machine.commands).toEqual(['graceful', 'forced', 'wake']);
});

test('without any power to read: said once, drained, switched off, proven by silence and woken again', async () => {
  scene.machines = fakeMachines('on', ['wake', 'sleep']);
  await scene.start(2);
  const unread = await scene.next('PowerReadingUnavailable', 's1');
  expect(unread.data.drivers).toEqual(['fake']);
  await scene.next('PowerReadingUnavailable', 's2');
  await scene.serve('s1');
  await scene.serve('s2');
  await scene.witnesses();
  await scene.decide('s2');
  await scene.drained('s1');
  await scene.next('SleepAttempted', 's1');
  const { commands } = scene.machines.machine('s1');
  await until(() => commands.includes('graceful'));
  await scene.harness.publish({
    type: 'SleepVerified',
    data: { server: 's1', pool: 'web', evidence: 'silent for 60000 ms' },
  });
  await scene.decide('s1', 's2');
  const attempted = await scene.next('WakeAttempted', 's1');
  await until(() => commands.includes('wake'));
  await scene.serve('s1');
  await later();
  expect(state('s1')).toMatchObject({ lifecycle: 'ready', powerState: 'on', powerInferred: true });
  expect(commands).toEqual(['graceful', 'wake']);
  expect(attempted.data.attempt).toBe(1);
});

test('a fire drill: woken, verified, put back; and one that fails is no capacity', async () => {
  scene.machines = fakeMachines('off');
  await scene.start(3);
  await scene.becomeAsleep('s1', 's2');
  scene.machines.machine('s3').powerState = 'on';
  await scene.becomeReady('s3');
  await scene.witnesses();
  await scene.decide('s3');
  const asked = { untilMs: Date.now() + 60_000, reason: 'before winter', by: 'ada' };
  await scene.harness.publish({ type: 'DrillRequested', data: { server: 's1', ...asked } });
  expect((await scene.next('DrillStarted', 's1')).data.reason).toBe('before winter');
  expect((await scene.next('WakeRequested', 's1')).data.reason).toBe('fire drill');
  await scene.becomeReady('s1');
  const passed = await scene.next('DrillPassed', 's1');
  await scene.drained('s1', passed.sequence);
  await scene.next('ServerPoweredOff', 's1', passed.sequence);
  scene.machines.machine('s2').lies = true;
  await scene.harness.publish({ type: 'DrillRequested', data: { server: 's2', ...asked } });
  const failed = await scene.next('DrillFailed', 's2');
  await scene.next('ServerQuarantined', 's2', failed.sequence);
  expect(state('s2')?.drills).toMatchObject({ passed: 0, failed: 1, failedAtMs: failed.timeMs });
});
