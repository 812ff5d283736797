import type { FleetConfig } from '../events/mod.ts';
import { type Fleet, initialFleet } from './fleet.ts';
import { healthSeen, type Liveness, nobodySeen, proxySeen } from './liveness.ts';
import { sleepRefusals, validDecision } from './sleepPermission.ts';
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

const nowMs = startMs + 10 * minuteMs;

/** s1 and s2 are ready, s3 is asleep; the decision wants s1 only, and s2 may sleep. */
function permitting(config: FleetConfig = fleetConfig()): Fleet {
  const fleet = withServers(scriptedFleet(config).fleet, { s1: readyState, s2: readyState, s3: asleepState });
  return withDecision(fleet, ['s1'], nowMs);
}
const refusals = (fleet: Fleet, liveness: Liveness = witnesses(nowMs), at: number = nowMs) =>
  sleepRefusals(fleet, viewOf(fleet, 's2'), liveness, at);

test('all clear permits', () => {
  expect(refusals(permitting())).toEqual([]);
});

const sleptAtMs = (count: number) => Array.from({ length: count }, () => nowMs - minuteMs);

test.each<[string, Fleet, RegExp]>([
  ['no decision', withServers(scriptedFleet().fleet, { s1: readyState, s2: readyState }), /no decision/],
  ['a decision past its lease', withDecision(permitting(), ['s1'], nowMs - 30_000), /no decision/],
  ['a decision from the far future', withDecision(permitting(), ['s1'], nowMs + 30_000), /no decision/],
  ['a decision that wants it', withDecision(permitting(), ['s1', 's2'], nowMs), /wants it awake/],
  ['a target not ready', withDecision(permitting(), ['s1', 's3'], nowMs), /not yet ready of the target: s3/],
  [
    'a target unknown',
    withDecision(permitting(), ['s1', 'gone'], nowMs),
    /not yet ready of the target: gone/,
  ],
  [
    'a target that is sick',
    withServers(withDecision(permitting(fleetConfig({ pool: { minServers: 0 } })), ['s1'], nowMs), {
      s1: { health: 'unhealthy' },
    }),
    /not yet ready of the target: s1/,
  ],
  ['a cordon', withServers(permitting(), { s2: { cordoned: true } }), /cordoned/],
  ['no power method', permitting(fleetConfig({ rungs: 0 })), /no power method/],
  ['power unknown', withServers(permitting(), { s2: { powerState: 'unknown' } }), /power state is unknown/],
  ['power off', withServers(permitting(), { s2: { powerState: 'off' } }), /power state is off/],
  [
    'awake for too short',
    withServers(permitting(), { s2: { readyAtMs: nowMs - 59_999 } }),
    /awake for 59999 ms of at least 60000 ms/,
  ],
  ['worn out', withServers(permitting(), { s2: { sleptAtMs: sleptAtMs(48) } }), /slept 48 times/],
  [
    'a power-off that failed lately',
    withServers(permitting(), { s2: { failedSleeps: { count: 2, lastAtMs: nowMs - 599_999 } } }),
    /could not be switched off 2 times in a row; next try in 1 ms/,
  ],
  ['the floor', permitting(fleetConfig({ pool: { minServers: 2 } })), /1 other servers ready, 2 must stay/],
  [
    'the spares',
    permitting(fleetConfig({ pool: { spareServers: 1 } })),
    /1 other servers ready, 2 must stay/,
  ],
])('%s alone forbids', (_what, fleet, refusal) => {
  const found = refusals(fleet);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(refusal);
});

test.each<[string, Liveness, RegExp]>([
  ['no proxy ever', healthSeen(nobodySeen, nowMs), /no proxy is known/],
  ['a proxy silent', proxySeen(witnesses(nowMs), 'p2', nowMs - 10_001, false), /proxies silent: p2/],
  ['health silent', { ...witnesses(nowMs), healthSeenMs: nowMs - 10_001 }, /health service is silent/],
  ['health never heard', { ...witnesses(nowMs), healthSeenMs: undefined }, /health service is silent/],
])('%s alone forbids', (_what, liveness, refusal) => {
  const found = refusals(permitting(), liveness);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(refusal);
});

test('a paused planner forbids', () => {
  const fleet = permitting();
  const { web } = fleet.pools;
  if (!web) throw new Error('no pool');
  expect(refusals({ ...fleet, pools: { web: { ...web, paused: true } } })).toEqual(['the planner is paused']);
});

test('a fleet without configuration permits nothing', () => {
  const view = viewOf(permitting(), 's2');
  expect(sleepRefusals(initialFleet(), view, witnesses(nowMs), nowMs)).toEqual([
    'the fleet is not configured',
  ]);
});

test('what once permitted the drain permits it all through: a server that drains is as good as one that is ready', () => {
  const draining = withServers(permitting(), { s2: { lifecycle: 'draining', readyAtMs: nowMs - 60_000 } });
  expect(refusals(draining)).toEqual([]);
  expect(refusals(withServers(draining, { s2: { health: 'unhealthy' } }))).toEqual([]);
});

test('sleeps of yesterday are no wear of today', () => {
  const old = Array.from({ length: 48 }, () => nowMs - 86_400_000);
  expect(refusals(withServers(permitting(), { s2: { sleptAtMs: old } }))).toEqual([]);
});

describe('a server that does not serve takes nothing away', () => {
  const pool = { minServers: 2 };

  test('it may be switched off although the floor is not met', () => {
    const sick = withServers(permitting(fleetConfig({ pool })), { s2: { health: 'unhealthy' } });
    expect(refusals(sick)).toEqual([]);
  });

  test('unless nobody else serves: then the prober may be the one that is dead', () => {
    const fleet = permitting(fleetConfig({ pool }));
    const sick = withServers(fleet, { s1: { health: 'unhealthy' }, s2: { health: 'unhealthy' } });
    expect(refusals(withDecision(sick, [], nowMs))).toEqual(['0 other servers ready, 1 must stay']);
  });
});

test('a decision is valid for its lease, and no longer', () => {
  const fleet = permitting();
  expect(validDecision(fleet, 'web', nowMs + 29_999)?.target).toEqual(['s1']);
  expect(validDecision(fleet, 'web', nowMs + 30_000)).toBeUndefined();
  expect(validDecision(fleet, 'unknown', nowMs)).toBeUndefined();
});

test('a power-off that does not work is tried again ever more seldom, until one works', () => {
  const { fleet, fact } = scriptedFleet();
  const failed = () => fleet.servers.s1?.failedSleeps?.count;
  const tryOnce = (sleepId: string, attempts: number) => {
    fact('SleepRequested', { sleepId });
    fact('SleepAttempted', { sleepId, attempt: attempts });
    fact('SleepCancelled', { sleepId }, startMs + 5);
  };
  fact('ServerPoweredOn', {});
  tryOnce('z1', 1);
  expect(failed()).toBeUndefined();
  tryOnce('z2', 3);
  tryOnce('z3', 3);
  expect(failed()).toBe(2);
  fact('SleepRequested', { sleepId: 'z4' });
  fact('ServerPoweredOff', {});
  fact('SleepVerified', {});
  expect(failed()).toBeUndefined();
});
