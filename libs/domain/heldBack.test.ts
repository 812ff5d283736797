import type { Fleet } from './fleet.ts';
import { heldBack, planPower } from './powerControl.ts';
import type { ServerState, WakeInProgress } from './server.ts';
import {
  asleepState,
  fleetConfig,
  minuteMs,
  readyState,
  scriptedFleet,
  startMs,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';

const nowMs = startMs + 60 * minuteMs;
const wake: WakeInProgress = {
  wakeId: 'w1',
  requestedAtMs: nowMs,
  reason: 'test',
  rung: 0,
  attempt: 1,
  attemptedAtMs: nowMs,
  attemptFailed: false,
};
const waking: Partial<ServerState> = { lifecycle: 'waking', powerState: 'on', wake };
const asleep: Partial<ServerState> = { ...asleepState, sinceMs: startMs };

function fleetOf(
  states: Readonly<Record<string, Partial<ServerState>>>,
  target: readonly string[],
  setup: Parameters<typeof fleetConfig>[0],
): Fleet {
  const { fleet } = scriptedFleet(fleetConfig({ servers: Object.keys(states).length, ...setup }));
  return withDecision(withServers(fleet, states), target, nowMs);
}
const context = (fleet: Fleet) => ({ fleet, liveness: witnesses(nowMs), nowMs });
const woken = (fleet: Fleet) => planPower(context(fleet)).map(({ kind, server }) => `${kind} ${server}`);
const held = (fleet: Fleet) => heldBack(context(fleet)).map(({ bound, server }) => `${bound} ${server}`);

test('nothing is held back when nothing is', () => {
  expect(held(fleetOf({ s1: asleep, s2: readyState }, ['s1', 's2'], {}))).toEqual([]);
});

test('inrush of the pool', () => {
  const fleet = fleetOf({ s1: asleep, s2: asleep, s3: waking }, ['s1', 's2', 's3'], {
    bounds: { maxConcurrentWakes: 2 },
  });
  expect([woken(fleet), held(fleet)]).toEqual([['requestWake s1'], ['maxConcurrentWakes s2']]);
});

test('inrush of a power feed, whatever pool its servers are in', () => {
  const fleet = fleetOf({ s1: asleep, s2: asleep, s3: waking }, ['s1', 's2', 's3'], {
    server: { feed: 'a' },
    bounds: { maxConcurrentWakesPerFeed: 1 },
  });
  expect([woken(fleet), held(fleet)]).toEqual([
    [],
    ['maxConcurrentWakesPerFeed s1', 'maxConcurrentWakesPerFeed s2'],
  ]);
  expect(heldBack(context(fleet))[0]).toMatchObject({
    pool: 'web',
    reason: expect.stringContaining('feed a'),
  });
});

test('an overdue wake does not keep its substitute waiting, but twice the bound is never passed', () => {
  const late = { ...waking, wake: { ...wake, overdueAtMs: nowMs } };
  const target = ['s1', 's2', 's3'];
  const bounds = { maxConcurrentWakes: 1 };
  expect(woken(fleetOf({ s1: asleep, s2: late, s3: readyState }, target, { bounds }))).toEqual([
    'requestWake s1',
  ]);
  expect(woken(fleetOf({ s1: asleep, s2: late, s3: late }, target, { bounds }))).toEqual([]);
});

test('a rest after falling asleep, which neither the floor nor fail awake wait for', () => {
  const tired = { ...asleepState, sinceMs: nowMs - 5_000 };
  const setup = { bounds: { minAsleepMs: 60_000 } };
  const fleet = fleetOf({ s1: tired, s2: readyState }, ['s1', 's2'], setup);
  expect([woken(fleet), held(fleet)]).toEqual([[], ['minAsleepMs s1']]);
  const atFloor = fleetOf({ s1: tired, s2: readyState }, ['s1', 's2'], { ...setup, pool: { minServers: 2 } });
  expect(woken(atFloor)).toEqual(['requestWake s1']);
});

test('commands to one BMC', () => {
  const actionsAtMs = Array.from({ length: 10 }, (_, index) => nowMs - 59_999 + index);
  const begun = { ...waking, powerState: 'off', wake: { ...wake, attempt: 0 } } as const;
  const fleet = fleetOf({ s1: { ...begun, actionsAtMs }, s2: readyState }, ['s1', 's2'], {});
  expect([woken(fleet), held(fleet)]).toEqual([[], ['maxActionsPerMinute s1']]);
  const later = fleetOf(
    { s1: { ...begun, actionsAtMs: actionsAtMs.slice(1) }, s2: readyState },
    ['s1', 's2'],
    {},
  );
  expect(woken(later)).toEqual(['attemptWake s1']);
});

test('awake for too short, and the wear budget', () => {
  const fresh = { ...readyState, readyAtMs: nowMs };
  const worn = { ...readyState, sleptAtMs: Array(48).fill(nowMs - 1) };
  expect(held(fleetOf({ s1: fresh, s2: worn, s3: readyState }, ['s3'], {}))).toEqual([
    'minAwakeMs s1',
    'maxCyclesPerDay s2',
  ]);
});

test('a hung server that was power-cycled often enough', () => {
  const hung = { ...readyState, health: 'unhealthy', unhealthySinceMs: startMs } as const;
  const often = { ...hung, mendedAtMs: [nowMs - 3, nowMs - 2, nowMs - 1] };
  expect(held(fleetOf({ s1: often, s2: readyState }, ['s1', 's2'], {}))).toEqual(['maxMendsPerDay s1']);
  const others = [
    hung,
    { ...often, unhealthySinceMs: nowMs },
    { ...often, powerState: 'unknown' },
    { ...often, mendedAtMs: [nowMs - 1] },
  ] as const;
  for (const s1 of others) expect(held(fleetOf({ s1, s2: readyState }, ['s1', 's2'], {}))).toEqual([]);
});

test('a server that could not be switched off, until its next try', () => {
  const stubborn = { ...readyState, failedSleeps: { count: 1, lastAtMs: nowMs } };
  expect(held(fleetOf({ s1: stubborn, s2: readyState }, ['s2'], {}))).toEqual(['quarantineMs s1']);
});

test('the fold counts the commands', () => {
  const { fleet, fact } = scriptedFleet();
  fact('WakeRequested', {});
  fact('WakeAttempted', {}, startMs + 1);
  fact('WakeAttempted', { attempt: 2 }, startMs + 2);
  expect(fleet.servers.s1?.actionsAtMs).toEqual([startMs + 1, startMs + 2]);
});
