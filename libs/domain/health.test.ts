import {
  answerCounts,
  carriedCount,
  countProbe,
  factOfProbes,
  noProbes,
  probeDelayMs,
  probePurpose,
  proofOfSleep,
} from './health.ts';
import { newServer, type ServerState } from './server.ts';
import { asleepState, fleetConfig, readyState, scriptedFleet, startMs, viewOf } from './testing/builders.ts';

const base = newServer('s1', 'web', startMs);
const ready: ServerState = { ...base, ...readyState };
const check = viewOf(scriptedFleet(fleetConfig()).fleet, 's1').pool.healthCheck;

test('good and bad probes count in rows', () => {
  const counts = [true, true, false, false, true].map((_ok, index, all) =>
    all.slice(0, index + 1).reduce(countProbe, noProbes),
  );
  expect(counts.map(({ good, bad }) => `${good}/${bad}`)).toEqual(['1/0', '2/0', '0/1', '0/2', '1/0']);
});

test('an ejection, or its end, keeps the bad probes of a server that is asked the same, and no other', () => {
  const bad = { good: 0, bad: 1 };
  expect(carriedCount(bad, 'serve', 'return')).toEqual(bad);
  expect(carriedCount(bad, 'return', 'serve')).toEqual(bad);
  expect(carriedCount({ good: 9, bad: 0 }, 'serve', 'return')).toEqual(noProbes);
  expect(carriedCount({ good: 9, bad: 0 }, 'serve', 'serve')).toEqual({ good: 9, bad: 0 });
  expect(carriedCount(bad, 'sleepProof', 'return')).toEqual(noProbes);
  expect(carriedCount(bad, 'return', 'none')).toEqual(noProbes);
});

test('an answer that was asked for before an ejection counts only against the server', () => {
  expect(answerCounts(false, 'serve', 'return')).toBe(true);
  expect(answerCounts(true, 'serve', 'return')).toBe(false);
  expect(answerCounts(true, 'serve', 'serve')).toBe(true);
  expect(answerCounts(false, 'return', 'sleepProof')).toBe(false);
});

describe('probePurpose', () => {
  test.each<[string, Partial<ServerState>, string]>([
    ['asleep', asleepState, 'none'],
    ['waking', {}, 'return'],
    ['ready', readyState, 'serve'],
    ['ready, unhealthy', { ...readyState, health: 'unhealthy' }, 'return'],
    ['ready, ejected by a proxy', { ...readyState, ejectedUntilMs: startMs + 1 }, 'return'],
    ['ready, ejected long ago', { ...readyState, ejectedUntilMs: startMs }, 'serve'],
    ['draining', { ...readyState, lifecycle: 'draining' }, 'serve'],
    ['stopping, still on', { lifecycle: 'stopping', powerState: 'on' }, 'none'],
    ['stopping, off', { lifecycle: 'stopping', powerState: 'off' }, 'sleepProof'],
    ['failed, on', { lifecycle: 'failed', powerState: 'on' }, 'return'],
    ['failed, off', { lifecycle: 'failed', powerState: 'off' }, 'sleepProof'],
    ['quarantined, on', { lifecycle: 'quarantined', powerState: 'on' }, 'return'],
    ['quarantined, off', { lifecycle: 'quarantined', powerState: 'off' }, 'none'],
  ])('%s', (_what, change, purpose) => {
    expect(probePurpose({ ...base, ...change }, startMs)).toBe(purpose);
  });
});

test('the interval is jittered about its middle, and short for what returns', () => {
  const exact = { ...check, intervalMs: 1_000, fastIntervalMs: 100, jitter: 0.2 };
  expect([0, 0.5, 1].map((jitter) => probeDelayMs(exact, 'serve', noProbes, jitter))).toEqual([
    900, 1_000, 1_100,
  ]);
  expect(probeDelayMs(exact, 'return', noProbes, 0.5)).toBe(100);
  expect(probeDelayMs(exact, 'sleepProof', noProbes, 0.5)).toBe(100);
  expect(probeDelayMs(exact, 'serve', { good: 0, bad: 1 }, 0.5)).toBe(100);
  expect(probeDelayMs(exact, 'watch', { good: 0, bad: 9 }, 0.5)).toBe(1_000);
});

describe('factOfProbes', () => {
  const good = (count: number) => ({ good: count, bad: 0 });
  const bad = (count: number) => ({ good: 0, bad: count });
  const { bounds } = fleetConfig();
  const factOf = (server: ServerState, count: ReturnType<typeof good>) =>
    factOfProbes(server, count, check, bounds, startMs);

  test('healthy after `rise`, unhealthy after `fall`, and each only once', () => {
    const sick: ServerState = { ...ready, health: 'unhealthy' };
    expect(factOf(sick, good(check.rise - 1))).toBeUndefined();
    expect(factOf(sick, good(check.rise))?.type).toBe('ServerBecameHealthy');
    expect(factOf(ready, good(99))).toBeUndefined();
    expect(factOf(ready, bad(check.fall - 1))).toBeUndefined();
    expect(factOf(ready, bad(check.fall))).toEqual({
      type: 'ServerBecameUnhealthy',
      consecutive: check.fall,
    });
    expect(factOf(sick, bad(99))).toBeUndefined();
  });

  test('what wakes is not unhealthy: it is not up yet', () => {
    expect(factOf(base, bad(99))).toBeUndefined();
    const answered: ServerState = { ...base, powerState: 'off', health: 'healthy' };
    expect(factOf(answered, bad(check.fall))?.type).toBe('ServerBecameUnhealthy');
    expect(factOf({ ...ready, lifecycle: 'draining' }, bad(99))?.type).toBe('ServerBecameUnhealthy');
  });

  const ejected: ServerState = { ...ready, ejectedUntilMs: startMs + 1 };
  const lifted = (agoMs: number) => ({ ...ejected, ejectionLiftedAtMs: startMs - agoMs });
  test.each<[string, ServerState, ReturnType<typeof good>, string | undefined]>([
    ['lifted when it answers well', ejected, good(check.rise), 'EjectionLifted'],
    ['not lifted too soon', ejected, good(check.rise - 1), undefined],
    ['over by itself', { ...ejected, ejectedUntilMs: startMs }, good(99), undefined],
    ['unhealthy first', ejected, bad(check.fall), 'ServerBecameUnhealthy'],
    ['then confirmed', { ...ejected, health: 'unhealthy' }, bad(check.fall + 1), 'EjectionConfirmed'],
    [
      'ejected again after a lift: it runs its time',
      lifted(bounds.contradictionSettleMs - 1),
      good(99),
      undefined,
    ],
    ['ejected again much later', lifted(bounds.contradictionSettleMs), good(99), 'EjectionLifted'],
  ])('an ejection: %s', (_what, server, count, expected) => {
    expect(factOf(server, count)?.type).toBe(expected);
  });
});

describe('proofOfSleep', () => {
  const off: ServerState = { ...base, lifecycle: 'stopping', powerState: 'off' };
  const proof = (change: Partial<ServerState>, answered: boolean, afterMs: number) =>
    proofOfSleep({ ...off, ...change }, 0, answered, bounds, startMs + afterMs)?.type;
  const bounds = { sleepProofTimeoutMs: 60_000, sleepSilenceMs: 30_000 };

  test.each<[string, Partial<ServerState>, boolean, number, string | undefined]>([
    ['off and silent', {}, false, 0, 'SleepVerified'],
    ['off and answering for a moment', {}, true, 59_999, undefined],
    ['off and still answering', {}, true, 60_000, 'SleepContradicted'],
    ['not off', { powerState: 'on' }, false, 99_999, undefined],
    ['still on and answering', { powerState: 'on' }, true, 99_999, undefined],
    ['of unknown power', { powerState: 'unknown' }, false, 99_999, undefined],
    ['contradicted before, silent now', { lifecycle: 'failed' }, false, 0, 'SleepVerified'],
    ['contradicted before, still answering', { lifecycle: 'failed' }, true, 99_999, undefined],
    ['failed to wake, to be quarantined', { lifecycle: 'failed', failedWakes: 1 }, false, 0, undefined],
    ['waking', { lifecycle: 'waking' }, false, 99_999, undefined],
  ])('%s', (_what, change, answered, afterMs, expected) => {
    expect(proof(change, answered, afterMs)).toBe(expected);
  });

  test.each<[string, Partial<ServerState>, number, boolean, string | undefined]>([
    ['silent for too short', {}, 29_999, false, undefined],
    ['silent for long enough', {}, 30_000, false, 'SleepVerified'],
    ['still answering', {}, 0, true, undefined],
    ['asleep and silent', { lifecycle: 'asleep' }, 99_999, false, undefined],
    ['asleep and answering', { lifecycle: 'asleep' }, 0, true, 'SleepContradicted'],
  ])('where no power can be read: %s', (_what, change, silentForMs, answered, expected) => {
    const server: ServerState = { ...off, powerState: 'on', powerInferred: true, ...change };
    expect(proofOfSleep(server, silentForMs, answered, bounds, startMs)?.type).toBe(expected);
  });
});

test('a server whose power is inferred is asked for silence while it stops, and watched while it sleeps', () => {
  const inferred: ServerState = { ...base, powerInferred: true, powerState: 'on' };
  expect(probePurpose({ ...inferred, lifecycle: 'stopping' }, startMs)).toBe('sleepProof');
  expect(probePurpose({ ...inferred, lifecycle: 'asleep' }, startMs)).toBe('watch');
});
