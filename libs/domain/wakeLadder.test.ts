import type { PowerAction } from './powerAction.ts';
import { planPower } from './powerControl.ts';
import type { ServerState, WakeInProgress } from './server.ts';
import {
  asleepState,
  fleetConfig,
  minuteMs,
  scriptedFleet,
  startMs,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';

const nowMs = startMs + 60 * minuteMs;
const begun: WakeInProgress = {
  wakeId: 'w1',
  requestedAtMs: nowMs,
  reason: 'test',
  rung: 0,
  attempt: 1,
  attemptedAtMs: nowMs,
  attemptFailed: false,
};

function next(
  wake: Partial<WakeInProgress>,
  afterMs: number,
  s1: Partial<ServerState> = {},
): PowerAction | undefined {
  const { fleet } = scriptedFleet(fleetConfig({ rungs: 2 }));
  const state = { lifecycle: 'waking', powerState: 'off', wake: { ...begun, ...wake }, ...s1 } as const;
  const servers = withServers(fleet, { s1: state, s2: asleepState, s3: asleepState });
  const atMs = nowMs + afterMs;
  const decided = withDecision(servers, ['s1'], atMs);
  return planPower({ fleet: decided, liveness: witnesses(atMs), nowMs: atMs })[0];
}
const overdue = (...args: Parameters<typeof next>) => {
  const action = next(...args);
  return action?.kind === 'reportOverdue' ? `${action.milestone} ${action.expectedMs}` : undefined;
};

describe('the first missed quantile is reported', () => {
  const learned = { setupTimesMs: Array(16).fill(100_000), powerOnTimesMs: Array(16).fill(3_000) };
  test.each<[string, Partial<WakeInProgress>, number, Partial<ServerState>, string | undefined]>([
    ['refused', { attemptFailed: true }, 1, learned, 'taken 0'],
    ['hardware off for longer than ever', {}, 3_001, learned, 'on 3000'],
    ['hardware off, in time', {}, 3_000, learned, undefined],
    ['on, and not ready for longer than ever', {}, 100_001, { ...learned, powerState: 'on' }, 'ready 100000'],
    ['on, in time', {}, 100_000, { ...learned, powerState: 'on' }, undefined],
    ['never measured, off', {}, 60_001, {}, 'on 60000'],
    ['never measured, on', {}, 389_999, { powerState: 'on' }, undefined],
    ['never measured, on, late', {}, 390_001, { powerState: 'on' }, 'ready 390000'],
    ['not to be read', {}, 3_001, { ...learned, powerInferred: true }, undefined],
    ['not to be read, late', {}, 100_001, { ...learned, powerInferred: true }, 'ready 100000'],
    ['nothing sent yet', { attempt: 0 }, 999_999, learned, undefined],
  ])('%s', (_what, wake, afterMs, s1, expected) => {
    expect(overdue(wake, afterMs, s1)).toBe(expected);
  });

  test('once, and the ladder goes on', () => {
    const late = { attemptFailed: true, overdueAtMs: nowMs };
    expect(next(late, 1_000, learned)).toMatchObject({ kind: 'attemptWake', rung: 0, attempt: 2 });
  });
});

test('where no power can be read, tries go on while it boots, and only the rung’s whole time climbs', () => {
  const late = { overdueAtMs: nowMs, rungStartedAtMs: nowMs };
  const s1 = { powerInferred: true, setupTimesMs: Array(16).fill(100_000) };
  const retried = { ...late, attempt: 3, attemptedAtMs: nowMs + 120_000 };
  expect(next({ ...late, attempt: 1 }, 60_000, s1)).toMatchObject({
    kind: 'attemptWake',
    rung: 0,
    attempt: 2,
  });
  expect(next(retried, 399_999, s1)).toBeUndefined();
  expect(next(retried, 400_000, s1)).toMatchObject({ kind: 'attemptWake', rung: 1, attempt: 1 });
});

test('the fold learns how long hardware takes to say on, from wakes that worked at once', () => {
  const { fleet, fact } = scriptedFleet();
  fact('ServerPoweredOff', {});
  fact('SleepVerified', {});
  const wake = (wakeId: string, attempt: number, atMs: number) => {
    fact('WakeRequested', { wakeId }, atMs);
    fact('WakeAttempted', { wakeId, attempt }, atMs);
    fact('ServerPoweredOn', {}, atMs + 4_000);
  };
  wake('w1', 1, startMs);
  expect(fleet.servers.s1?.powerOnTimesMs).toEqual([4_000]);
  fact('ServerPoweredOff', {});
  wake('w2', 2, startMs + minuteMs);
  expect(fleet.servers.s1?.powerOnTimesMs).toEqual([4_000]);
});

test('the fold keeps since when a wake is overdue, and forgets it with the wake', () => {
  const { fleet, fact } = scriptedFleet();
  fact('WakeRequested', {});
  fact('WakeOverdue', { wakeId: 'another' }, startMs + 1);
  expect(fleet.servers.s1?.wake?.overdueAtMs).toBeUndefined();
  fact('WakeOverdue', {}, startMs + 2);
  fact('WakeOverdue', {}, startMs + 3);
  expect(fleet.servers.s1?.wake?.overdueAtMs).toBe(startMs + 2);
  fact('WakeRequested', { wakeId: 'w2' }, startMs + 4);
  expect(fleet.servers.s1?.wake?.overdueAtMs).toBeUndefined();
});
