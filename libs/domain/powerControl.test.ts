import type { Fleet } from './fleet.ts';
import type { PowerAction } from './powerAction.ts';
import { planPower } from './powerControl.ts';
import { factsOfReading } from './readings.ts';
import type { Lifecycle, PowerState, ServerState, SleepInProgress, WakeInProgress } from './server.ts';
import { powerRefusals } from './sleepPlan.ts';
import {
  asleepState,
  fleetConfig,
  minuteMs,
  readyState,
  scriptedFleet,
  startMs,
  viewOf,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';
import { failAwakeFact, failAwakeServers, wantedServers } from './wanted.ts';

const nowMs = startMs + 60 * minuteMs;

function wake(change: Partial<WakeInProgress> = {}): WakeInProgress {
  const begun = { rung: 0, attempt: 1, attemptedAtMs: nowMs, attemptFailed: false };
  return { wakeId: 'w1', requestedAtMs: nowMs, reason: 'test', ...begun, ...change };
}
function sleep(change: Partial<SleepInProgress> = {}): SleepInProgress {
  const begun = { attempt: 0, attemptedAtMs: nowMs, attemptFailed: false, forced: false, proxies: {} };
  return { sleepId: 'z1', requestedAtMs: nowMs, reason: 'test', ...begun, ...change };
}
const waking: Partial<ServerState> = { lifecycle: 'waking', powerState: 'off', wake: wake() };
const drainingState: Partial<ServerState> = { ...readyState, lifecycle: 'draining', sleep: sleep() };
const stoppingState: Partial<ServerState> = {
  lifecycle: 'stopping',
  powerState: 'on',
  sleep: sleep({ attempt: 1 }),
};

type Setup = Parameters<typeof fleetConfig>[0];

/** s2 and s3 are ready and wanted; what is asked about is s1. */
function fleetWith(s1: Partial<ServerState>, isWanted: boolean, setup: Setup = {}): Fleet {
  const { fleet } = scriptedFleet(fleetConfig(setup));
  const servers = withServers(fleet, { s1, s2: readyState, s3: readyState });
  return withDecision(servers, isWanted ? ['s1', 's2', 's3'] : ['s2', 's3'], nowMs);
}
function plan(fleet: Fleet, atMs: number = nowMs, liveness = witnesses(atMs)): PowerAction[] {
  return planPower({ fleet, liveness, nowMs: atMs });
}
/** The kinds of action on s1, later by `afterMs` with the decision and the witnesses as fresh as now. */
function kinds(s1: Partial<ServerState>, isWanted: boolean, setup: Setup = {}, afterMs = 0): string[] {
  const fleet = fleetWith(s1, isWanted, setup);
  const target = fleet.pools.web?.decision?.target ?? [];
  return plan(withDecision(fleet, target, nowMs + afterMs), nowMs + afterMs).map(({ kind }) => kind);
}

describe('each lifecycle, wanted and not', () => {
  const overdue = nowMs - 780_000;
  test.each<[string, Partial<ServerState>, string[], string[]]>([
    ['asleep', asleepState, ['requestWake'], []],
    ['waking', { ...waking, wake: wake({ attempt: 0 }) }, ['attemptWake'], ['attemptWake']],
    ['waking and on', { ...waking, powerState: 'on' }, [], []],
    ['waking by itself', { lifecycle: 'waking', powerState: 'on', sinceMs: overdue + 1 }, [], []],
    [
      'waking by itself for too long',
      { lifecycle: 'waking', powerState: 'on', sinceMs: overdue },
      ['requestWake'],
      ['requestSleep'],
    ],
    ['ready', readyState, [], ['requestSleep']],
    ['ready and dead', { ...readyState, health: 'unhealthy' }, [], ['requestSleep']],
    ['draining', drainingState, ['cancelSleep'], []],
    ['draining and dead', { ...drainingState, health: 'unhealthy' }, ['cancelSleep'], []],
    ['stopping', stoppingState, [], []],
    ['stopping and off', { lifecycle: 'stopping', powerState: 'off' }, ['requestWake'], []],
    ['stopping, unreadable, by no hand of ours', { lifecycle: 'stopping' }, ['requestWake'], []],
    ['failed to wake', { lifecycle: 'failed', failedWakes: 1 }, ['quarantine'], ['quarantine']],
    ['failed, off', { lifecycle: 'failed', powerState: 'off' }, ['requestWake'], []],
    ['failed, on', { lifecycle: 'failed', powerState: 'on' }, ['requestWake'], ['requestSleep']],
    [
      'quarantined, off',
      { lifecycle: 'quarantined', powerState: 'off', quarantinedUntilMs: nowMs + 1 },
      [],
      [],
    ],
    [
      'quarantined, on and burning',
      { lifecycle: 'quarantined', powerState: 'on', quarantinedUntilMs: nowMs + 1 },
      [],
      ['requestSleep'],
    ],
    [
      'quarantined long enough',
      { lifecycle: 'quarantined', powerState: 'off', quarantinedUntilMs: nowMs },
      ['requestWake'],
      [],
    ],
  ])('%s', (_what, s1, whenWanted, whenNot) => {
    expect([kinds(s1, true), kinds(s1, false)]).toEqual([whenWanted, whenNot]);
  });

  test.each<Lifecycle>(['asleep', 'waking', 'ready', 'draining', 'stopping', 'failed', 'quarantined'])(
    'a cordon, or no way to switch it, leaves one that is %s alone',
    (lifecycle) => {
      const s1 = { lifecycle, wake: wake({ attempt: 0 }), sleep: sleep(), sinceMs: 0 };
      expect(kinds({ ...s1, cordoned: true }, true)).toEqual([]);
      expect(kinds({ ...s1, cordoned: true }, false)).toEqual([]);
      expect(kinds(s1, true, { rungs: 0 })).toEqual([]);
    },
  );

  test('the trace of the decision goes with the intent', () => {
    const fleet = fleetWith(asleepState, true);
    const { web } = fleet.pools;
    if (!web?.decision) throw new Error('no decision');
    const traced = { ...web, decision: { ...web.decision, traceparent: '00-a-b-01' } };
    expect(plan({ ...fleet, pools: { web: traced } })).toEqual([
      { kind: 'requestWake', server: 's1', reason: 'decided: test', traceparent: '00-a-b-01' },
    ]);
  });
});

describe('the wake ladder', () => {
  /** The next step of s1's wake, `afterMs` after its last attempt. */
  function step(attempt: Partial<WakeInProgress>, afterMs: number, rungs = 2, s1: Partial<ServerState> = {}) {
    const method = { tries: 2, confirmTimeoutMs: 60_000 };
    const late = { overdueAtMs: nowMs };
    const fleet = fleetWith({ ...waking, wake: wake({ ...late, ...attempt }), ...s1 }, true, {
      rungs,
      method,
    });
    const [action] = plan(withDecision(fleet, ['s1', 's2', 's3'], nowMs + afterMs), nowMs + afterMs);
    if (action?.kind === 'attemptWake') return `rung ${action.rung}, try ${action.attempt}`;
    return action?.kind === 'giveUpWake' ? action.reason : action?.kind;
  }

  test.each<[string, Partial<WakeInProgress>, number, string | undefined]>([
    ['begins at its foot', { attempt: 0 }, 0, 'rung 0, try 1'],
    ['waits for the hardware to say on', { attempt: 1 }, 59_999, undefined],
    ['tries again', { attempt: 1 }, 60_000, 'rung 0, try 2'],
    ['backs off for a second after a refusal', { attempt: 1, attemptFailed: true }, 999, undefined],
    ['tries again after a refusal', { attempt: 1, attemptFailed: true }, 1_000, 'rung 0, try 2'],
    ['backs off for longer each time', { attempt: 2, attemptFailed: true }, 1_999, undefined],
    ['climbs when its tries are used up', { attempt: 2, attemptFailed: true }, 2_000, 'rung 1, try 1'],
    ['climbs when the server is not ready in time', { attempt: 1 }, 780_000, 'rung 1, try 1'],
    [
      'gives up on its last rung',
      { rung: 1, attempt: 2 },
      60_000,
      'hardware not on after 2 tries by redfish; the last rung of the wake ladder has failed',
    ],
    [
      'gives up when it has been shortened',
      { rung: 5, attempt: 1 },
      0,
      'the wake ladder has become shorter than the rung in use',
    ],
  ])('%s', (_what, attempt, afterMs, expected) => {
    expect(step(attempt, afterMs)).toBe(expected);
  });

  test('sends nothing to a server that is on, until its time is over', () => {
    expect(step({ attempt: 1 }, 779_999, 1, { powerState: 'on' })).toBeUndefined();
    expect(step({ attempt: 1 }, 780_000, 1, { powerState: 'on' })).toMatch(/^not ready after 780000 ms/);
  });
});

test.each([
  [1, 300_000],
  [2, 600_000],
  [3, 1_200_000],
  [99, 21_600_000],
  [5_000, 21_600_000],
])('after %d failed wakes the quarantine is %d ms', (failedWakes, durationMs) => {
  const [action] = plan(fleetWith({ lifecycle: 'failed', failedWakes }, true));
  expect(action).toMatchObject({ kind: 'quarantine', untilMs: nowMs + durationMs });
});

describe('bounds', () => {
  const names = ['s1', 's2', 's3', 's4', 's5', 's6'];
  const states = (state: Partial<ServerState>) => Object.fromEntries(names.map((name) => [name, state]));

  test('no more machines boot at once than the inrush bound', () => {
    const { fleet } = scriptedFleet(fleetConfig({ servers: 6, bounds: { maxConcurrentWakes: 2 } }));
    const asleep = withDecision(withServers(fleet, states(asleepState)), names, nowMs);
    expect(plan(asleep).map(({ server }) => server)).toEqual(['s1', 's2']);
    const one = withServers(asleep, { s6: { ...waking, powerState: 'on' } });
    expect(plan(one).map(({ server }) => server)).toEqual(['s1']);
  });

  test('one sleep is asked for at a time', () => {
    const { fleet } = scriptedFleet(fleetConfig({ servers: 6 }));
    const ready = withDecision(withServers(fleet, states(readyState)), ['s6'], nowMs);
    expect(plan(ready).map(({ kind, server }) => [kind, server])).toEqual([['requestSleep', 's1']]);
  });
});

describe('the planner is lost', () => {
  const leaseMs = 30_000;
  const lostFor = (afterMs: number, setup: Setup = {}) => {
    const { fleet } = scriptedFleet(fleetConfig({ pool: { minServers: 2 }, ...setup }));
    const servers = withServers(fleet, { s1: asleepState, s2: asleepState, s3: readyState });
    const decided = withDecision(servers, ['s3'], nowMs - leaseMs);
    return [...wantedServers(decided, 'web', nowMs + afterMs).servers].sort();
  };

  test('the lease holds, then the floor, awake ones first, then the pool', () => {
    expect([lostFor(-1), lostFor(0), lostFor(59_999), lostFor(60_000)]).toEqual([
      ['s3'],
      ['s1', 's3'],
      ['s1', 's3'],
      ['s1', 's2', 's3'],
    ]);
  });

  test('is said once, and again when it is over', () => {
    const { fleet, fact } = scriptedFleet();
    const lateMs = startMs + 2 * leaseMs;
    expect(failAwakeFact(fleet, 'web', startMs + leaseMs - 1)).toBeUndefined();
    const started = failAwakeFact(fleet, 'web', lateMs);
    expect(started).toMatchObject({
      type: 'FailAwakeStarted',
      data: { cause: 'planner', lostForMs: leaseMs },
    });
    fact('FailAwakeStarted', {}, lateMs);
    expect(failAwakeFact(fleet, 'web', lateMs + 1)).toBeUndefined();
    fact('CapacityDecided', {}, lateMs + 1);
    expect(failAwakeFact(fleet, 'web', lateMs + 2)).toEqual({
      type: 'FailAwakeEnded',
      data: { pool: 'web', durationMs: 2 },
    });
    fact('FailAwakeEnded', {}, lateMs + 2);
    expect(failAwakeFact(fleet, 'web', lateMs + 3)).toBeUndefined();
  });

  test('the floor only, when the config says so', () => {
    const pool = { minServers: 2, failAwake: 'floor' };
    expect(lostFor(3_600_000, { pool })).toEqual(['s1', 's3']);
  });

  test('a planner that never spoke has one lease from the configuration on', () => {
    const { fleet } = scriptedFleet();
    const sizeAt = (afterMs: number) => wantedServers(fleet, 'web', startMs + afterMs).servers.size;
    expect([sizeAt(29_999), sizeAt(30_000), sizeAt(90_000)]).toEqual([0, 1, 3]);
    expect(wantedServers(fleet, 'unknown', nowMs).servers.size).toBe(0);
  });

  test('a decision of a clock far ahead is none', () => {
    const decided = withDecision(fleetWith(asleepState, true), [], nowMs + 3_600_000);
    expect([...wantedServers(decided, 'web', nowMs).servers]).toEqual(['s2']);
  });

  test('nothing sleeps, and a drain is called off', () => {
    const decided = withDecision(fleetWith(drainingState, false), ['s2'], nowMs - leaseMs);
    expect(plan(decided).map(({ kind, server }) => [kind, server])).toEqual([['cancelSleep', 's1']]);
  });

  test('those that failed or are dead are the last to rely on', () => {
    const { fleet } = scriptedFleet();
    const servers = withServers(fleet, {
      s1: { lifecycle: 'quarantined', quarantinedUntilMs: nowMs + 1 },
      s2: { ...readyState, health: 'unhealthy' },
      s3: asleepState,
    });
    expect(failAwakeServers(servers, 'web', false)).toEqual(['s3']);
    expect(failAwakeServers(servers, 'web', true)).toHaveLength(3);
    expect(failAwakeServers(withServers(servers, { s3: { cordoned: true } }), 'web', true)).toHaveLength(2);
  });
});

describe('drain', () => {
  const drained = (proxies: SleepInProgress['proxies'], change: Partial<SleepInProgress> = {}) =>
    fleetWith({ ...drainingState, sleep: sleep({ proxies, ...change }) }, false);
  const twoProxies = witnesses(nowMs, 'p1', 'p2');

  test('ends when every live proxy is done, by itself or by its time-out', () => {
    expect(plan(drained({ p1: 'drained' }), nowMs, twoProxies)).toEqual([]);
    expect(plan(drained({ p1: 'drained', p2: 'draining' }), nowMs, twoProxies)).toEqual([]);
    expect(plan(drained({ p1: 'drained', p2: 'timedOut' }), nowMs, twoProxies)).toMatchObject([
      { kind: 'attemptSleep', server: 's1', attempt: 1, forced: false },
    ]);
  });

  test('is called off when the decision turns', () => {
    const turned = withDecision(drained({ p1: 'drained' }), ['s1', 's2', 's3'], nowMs);
    expect(plan(turned)).toMatchObject([
      { kind: 'cancelSleep', server: 's1', reason: 'the decision wants it awake again' },
    ]);
  });

  test('is called off when a proxy says nothing for twice the time-out', () => {
    const since = (ms: number) => plan(drained({}, { requestedAtMs: nowMs - ms })).map(({ kind }) => kind);
    expect([since(60_000), since(60_001)]).toEqual([[], ['cancelSleep']]);
  });

  test('is called off when a witness falls silent', () => {
    const silent = { ...witnesses(nowMs), healthSeenMs: nowMs - 10_001 };
    expect(plan(drained({ p1: 'drained' }), nowMs, silent)).toMatchObject([{ kind: 'cancelSleep' }]);
  });

  test('is asked about once more just before the power-off', () => {
    const refusals = (fleet: Fleet) =>
      powerRefusals({ fleet, liveness: twoProxies, nowMs }, viewOf(fleet, 's1'));
    expect(refusals(drained({ p1: 'drained', p2: 'timedOut' }))).toEqual([]);
    expect(refusals(drained({ p1: 'drained' }))).toEqual(['not drained by p2']);
    expect(refusals(fleetWith(readyState, false))).toEqual(['no sleep is in progress']);
    const turned = withDecision(drained({ p1: 'drained', p2: 'drained' }), ['s1', 's2', 's3'], nowMs);
    expect(refusals(turned)).toEqual(['the decision wants it awake']);
  });
});

describe('power-off', () => {
  const nextStep = (
    change: Partial<SleepInProgress>,
    afterMs: number,
    isWanted = false,
    method: object = { allowForceOff: true },
  ) => {
    const fleet = fleetWith({ ...stoppingState, sleep: sleep({ attempt: 1, ...change }) }, isWanted, {
      method,
    });
    const [action] = plan(
      withDecision(fleet, isWanted ? ['s1', 's2', 's3'] : ['s2', 's3'], nowMs + afterMs),
      nowMs + afterMs,
    );
    return action?.kind === 'attemptSleep'
      ? `try ${action.attempt}${action.forced ? ', forced' : ''}`
      : action?.kind;
  };

  test('has its time, then is forced where that is allowed', () => {
    expect(nextStep({}, 179_999)).toBeUndefined();
    expect(nextStep({}, 180_000)).toBe('try 2, forced');
    expect(nextStep({}, 180_000, false, { allowForceOff: false })).toBe('try 2');
  });

  test('that was refused is repeated with growing distance, never forced', () => {
    expect(nextStep({ attemptFailed: true }, 999)).toBeUndefined();
    expect(nextStep({ attemptFailed: true }, 1_000)).toBe('try 2');
    expect(nextStep({ attempt: 2, attemptFailed: true }, 1_999)).toBeUndefined();
  });

  test('is called off after three tries, or when the server is wanted again', () => {
    expect(nextStep({ attempt: 3 }, 180_000)).toBe('cancelSleep');
    expect(nextStep({}, 179_999, true)).toBeUndefined();
    expect(nextStep({}, 180_000, true)).toBe('cancelSleep');
    expect(nextStep({ attemptFailed: true }, 1_000, true)).toBe('cancelSleep');
  });
});

describe('what a reading brings to light', () => {
  const on = 'ServerPoweredOn';
  const off = 'ServerPoweredOff';
  const drift = 'PowerDriftDetected';
  const facts = (s1: Partial<ServerState>, reading: PowerState) =>
    factsOfReading(viewOf(fleetWith(s1, true), 's1'), reading).map(({ type }) => type);

  test.each<[string, Partial<ServerState>, PowerState, string[]]>([
    ['on as known', { powerState: 'on' }, 'on', []],
    ['off as known', { powerState: 'off' }, 'off', []],
    ['on, first look', { powerState: 'unknown' }, 'on', [on]],
    ['off, first look', { powerState: 'unknown' }, 'off', [off]],
    ['on, as the wake wanted', waking, 'on', [on]],
    ['off, as the sleep wanted', stoppingState, 'off', [off]],
    ['on while asleep', asleepState, 'on', [drift, on]],
    [
      'on while asleep, after it could not be read',
      { ...asleepState, powerState: 'unknown' },
      'on',
      [drift, on],
    ],
    ['on again right after it went off', { lifecycle: 'stopping', powerState: 'off' }, 'on', [drift, on]],
    ['on again while we switch it off', { ...stoppingState, powerState: 'unknown' }, 'on', [on]],
    ['off while ready', readyState, 'off', [drift, off]],
    ['off while ready, never read before', { ...readyState, powerState: 'unknown' }, 'off', [drift, off]],
    ['off while draining', drainingState, 'off', [drift, off]],
    [
      'off in the midst of its boot',
      { ...waking, powerState: 'on', wake: wake({ poweredOnAtMs: 1 }) },
      'off',
      [drift, off],
    ],
    ['off before it booted', { ...waking, powerState: 'on' }, 'off', [off]],
    ['a transition', readyState, 'poweringOff', []],
    ['another transition', asleepState, 'poweringOn', []],
    ['nothing', readyState, 'unknown', []],
  ])('%s', (_what, s1, reading, expected) => {
    expect(facts(s1, reading)).toEqual(expected);
  });
});
