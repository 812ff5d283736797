import { agentSleepRefusals, type LocalLook, sleepForAgent } from './agentSleep.ts';
import { type Liveness, nobodySeen, proxySeen } from './liveness.ts';
import { fleetConfig, scriptedFleet, startMs, witnesses } from './testing/builders.ts';

const empty: LocalLook = { connections: 0, users: 0, unreachable: [] };
const nowMs = startMs + 1_000;

/** s1 is drained by p1 and told off by its agent; each step of the way may be left out or changed. */
function stopping(
  change: {
    driver?: string;
    target?: string[];
    proxy?: 'ServerDrained' | 'DrainTimedOut';
    mend?: boolean;
  } = {},
) {
  const { fleet, fact } = scriptedFleet(fleetConfig());
  fact('CapacityDecided', { target: change.target ?? ['s2'] });
  fact('ServerPoweredOn', {});
  fact('ServerBecameHealthy', {});
  fact('SleepRequested', { mend: change.mend ?? false });
  fact(change.proxy ?? 'ServerDrained', {});
  fact('SleepAttempted', { driver: change.driver ?? 'agent' });
  return { fleet, fact };
}

const refusals = (
  { fleet }: Pick<ReturnType<typeof stopping>, 'fleet'>,
  look: Partial<LocalLook> = {},
  liveness: Liveness = witnesses(nowMs),
  atMs = nowMs,
) => agentSleepRefusals(fleet, 's1', liveness, { ...empty, ...look }, atMs);

test('drained, decided and empty: it may sleep', () => expect(refusals(stopping())).toEqual([]));

test('an unknown server, or a fleet without configuration, never', () => {
  const { fleet } = stopping();
  for (const name of ['s9', 'constructor']) {
    expect(agentSleepRefusals(fleet, name, witnesses(nowMs), empty, nowMs)).toHaveLength(1);
  }
});

test.each<[string, string[], RegExp]>([
  ['of another driver', refusals(stopping({ driver: 'redfish' })), /no power-off for its agent/],
  ['the decision wants it', refusals(stopping({ target: ['s1'] })), /wants it awake/],
  ['a connection is open', refusals(stopping(), { connections: 1 }), /1 connections/],
  ['connections unreadable', refusals(stopping(), { connections: undefined }), /connections can not/],
  ['somebody is logged in', refusals(stopping(), { users: 2 }), /2 users/],
  ['users unreadable', refusals(stopping(), { users: undefined }), /logged in can not/],
  [
    'a proxy out of reach',
    refusals(stopping(), { unreachable: ['proxy p1'] }),
    /reached from here: proxy p1/,
  ],
  ['nobody heard', refusals(stopping(), {}, { ...nobodySeen, healthSeenMs: nowMs }), /no proxy is heard/],
  [
    'health silent',
    refusals(stopping(), {}, { ...witnesses(nowMs), healthSeenMs: undefined }),
    /health service/,
  ],
  ['another proxy undrained', refusals(stopping(), {}, witnesses(nowMs, 'p1', 'p2')), /not drained by p2/],
  [
    'a proxy silent',
    refusals(stopping(), {}, proxySeen(witnesses(nowMs), 'p2', nowMs - 20_000, false)),
    /proxies silent: p2/,
  ],
])('%s', (_what, words, expected) => {
  expect(words).toHaveLength(1);
  expect(words[0]).toMatch(expected);
});

test('never without a live lease of the planner', () => {
  const lateMs = startMs + 30_000;
  expect(refusals(stopping(), {}, witnesses(lateMs), lateMs)).toEqual([
    expect.stringMatching(/within its lease/),
  ]);
});

test('the first half of a power cycle may switch off what is wanted', () => {
  expect(refusals(stopping({ target: ['s1'], mend: true }))).toEqual([]);
});

test("the operator's order stands above the decision", () => {
  const untilMs = nowMs + 1_000;
  const wanted = stopping({ target: ['s1'] });
  wanted.fact('SleepOrdered', { server: 's1', untilMs });
  expect(refusals(wanted)).toEqual([]);
  wanted.fact('WakeOrdered', { server: 's1', untilMs });
  expect(refusals(wanted)).toEqual([expect.stringMatching(/operator, wants it awake/)]);
});

test('a drain that timed out may cut what is still open', () => {
  expect(refusals(stopping({ proxy: 'DrainTimedOut' }), { connections: 3 })).toEqual([]);
});

test.each(['SleepCancelled', 'SleepAttemptFailed', 'ServerPoweredOff', 'WakeRequested'] as const)(
  'not after %s',
  (type) => {
    const { fleet, fact } = stopping();
    expect(sleepForAgent(fleet, 's1')?.sleepId).toBe('z1');
    fact(type, {});
    if (type !== 'ServerPoweredOff') expect(sleepForAgent(fleet, 's1')).toBeUndefined();
    fact('ServerCordoned', {});
    expect(refusals({ fleet })).not.toEqual([]);
  },
);
