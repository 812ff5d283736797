import { minuteMs, scriptedFleet, startMs } from '../../libs/domain/testing/builders.ts';
import { tileOf } from './tile.ts';

const nowMs = startMs + minuteMs;

function ready() {
  const script = scriptedFleet();
  script.fact('ServerPoweredOn', {});
  script.fact('ServerBecameHealthy', {});
  return script;
}

const tile = ({ fleet }: ReturnType<typeof scriptedFleet>) => tileOf(fleet, 's1', {}, nowMs);

test('a server that nobody has looked at', () => {
  expect(tile(scriptedFleet())).toMatchObject({ lifecycle: 'waking', why: { key: 'lookedAt' } });
});

test('why a ready server is awake', () => {
  const script = ready();
  expect(tile(script)?.why).toEqual({ key: 'nothingDecided' });
  script.fact('CapacityDecided', { target: ['s1'] });
  expect(tile(script)?.why).toEqual({ key: 'needed' });
  script.fact('CapacityDecided', { target: ['s2'] });
  expect(tile(script)?.why).toEqual({ key: 'notNeeded' });
  expect(tileOf(script.fleet, 's1', {}, startMs + 1_000)?.why).toEqual({
    key: 'heldBack',
    said: 'awake for 1000 ms of at least 60000 ms',
  });
  script.fact('PlannerPaused', {});
  expect(tile(script)?.why).toEqual({ key: 'paused' });
  script.fact('PlannerResumed', {});
  script.fact('WakeOrdered', { untilMs: nowMs + minuteMs, by: 'Aiko', reason: 'release' });
  expect(tile(script)?.why).toEqual({
    key: 'orderedAwake',
    by: 'Aiko',
    said: 'release',
    untilMs: nowMs + minuteMs,
  });
  script.fact('ServerBecameUnhealthy', {});
  expect(tile(script)?.why).toEqual({ key: 'unhealthy' });
});

test('a wake says why, and when it should be ready', () => {
  const script = ready();
  script.fact('SleepRequested', { reason: 'too many' });
  expect(tile(script)?.why).toEqual({ key: 'draining', said: 'too many' });
  script.fact('SleepAttempted', {});
  expect(tile(script)).toMatchObject({ lifecycle: 'stopping', why: { key: 'stopping', said: 'too many' } });
  script.fact('ServerPoweredOff', {});
  script.fact('SleepVerified', {});
  expect(tile(script)).toMatchObject({ lifecycle: 'asleep', why: { key: 'asleep' } });
  script.fact('CapacityDecided', { target: ['s1'] });
  expect(tile(script)?.why).toEqual({ key: 'wanted' });
  script.fact('WakeRequested', { reason: 'demand' }, nowMs);
  const waking = tile(script);
  expect(waking?.why).toEqual({ key: 'waking', said: 'demand' });
  expect(waking?.readyAtMs).toBe(nowMs + (waking?.setupMs ?? 0));
});

test('a cordoned server says by whom, why and until when', () => {
  const script = ready();
  script.fact('ServerCordoned', { by: 'Aiko', reason: 'new disk', untilMs: nowMs + minuteMs });
  const about = { by: 'Aiko', said: 'new disk' };
  expect(tile(script)).toMatchObject({
    cordoned: true,
    why: { key: 'cordonedUntil', untilMs: nowMs + minuteMs, ...about },
  });
  script.fact('ServerCordoned', { by: 'Aiko', reason: 'new disk' });
  expect(tile(script)?.why).toEqual({ key: 'cordoned', ...about });
  script.fact('ServerUncordoned', {});
  expect(tile(script)?.why).toEqual({ key: 'nothingDecided' });
});

test('no such server', () => {
  expect(tileOf(scriptedFleet().fleet, 'constructor', {}, nowMs)).toBeUndefined();
});
