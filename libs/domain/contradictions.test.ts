import {
  clockJumped,
  evolveContradictions,
  factOfContradictions,
  isInStorm,
  isStorm,
  openContradictions,
} from './contradictions.ts';
import { factOfHeartbeat } from './heartbeat.ts';
import { takesRequests } from './routing.ts';
import { evolveServer, newServer, type ServerState } from './server.ts';
import { sleepRefusals } from './sleepPermission.ts';
import {
  eventOf,
  fleetConfig,
  readyState,
  sampleData,
  scriptedFleet,
  startMs,
  viewOf,
  witnesses,
} from './testing/builders.ts';
import type { Contradiction } from './truth.ts';

const { bounds } = fleetConfig();
const ready: ServerState = { ...newServer('s1', 'web', startMs), ...readyState };
const detected = eventOf('ContradictionDetected', { contradiction: 'ghost', settleByMs: startMs + 30_000 });
const open = evolveServer(ready, detected);
const seen = (...names: Contradiction[]) => new Map(names.map((name) => [name, startMs]));

test('a contradiction is confirmed, known, settled by its time, and over when its witnesses agree', () => {
  const { contradictionConfirmMs, contradictionSettleMs } = bounds;
  const at = startMs + contradictionConfirmMs;
  expect(factOfContradictions(ready, seen('ghost'), bounds, at - 1)).toBeUndefined();
  const found = factOfContradictions(ready, seen('ghost'), bounds, at);
  expect(found).toEqual({
    type: 'ContradictionDetected',
    contradiction: 'ghost',
    settleByMs: at + contradictionSettleMs,
  });
  expect(factOfContradictions(open, seen('ghost'), bounds, startMs + 29_999)).toBeUndefined();
  const fell = factOfContradictions(open, seen('ghost'), bounds, startMs + 30_000);
  expect(fell).toMatchObject({
    type: 'ContradictionSettled',
    agreed: false,
    verdict: expect.stringMatching(/dead/),
  });
  const settled = evolveServer(open, eventOf('ContradictionSettled', { agreed: false }));
  expect([openContradictions(open), openContradictions(settled)]).toEqual([['ghost'], []]);
  expect(factOfContradictions(settled, seen('ghost'), bounds, startMs + 99_999)).toBeUndefined();
  const agreed = factOfContradictions(settled, seen(), bounds, startMs + 99_999);
  expect(agreed).toMatchObject({ type: 'ContradictionSettled', agreed: true });
  expect(evolveServer(settled, eventOf('ContradictionSettled', { agreed: true }))).toEqual(ready);
});

test('a zombie has the time of a proof of sleep', () => {
  const found = factOfContradictions(ready, seen('zombie'), bounds, startMs + 5_000);
  expect(found).toMatchObject({ settleByMs: startMs + 5_000 + bounds.sleepProofTimeoutMs });
});

test('two at once are two', () => {
  const both = evolveServer(open, eventOf('ContradictionDetected', { contradiction: 'clockJump' }));
  expect(openContradictions(both)).toEqual(['ghost', 'clockJump']);
  const one = evolveServer(both, eventOf('ContradictionSettled', { contradiction: 'ghost' }));
  expect(openContradictions(one)).toEqual(['clockJump']);
});

test('told twice, or of one that is not known, says nothing new', () => {
  expect(evolveContradictions(open, detected)).toBe(open);
  expect(evolveContradictions(ready, eventOf('ContradictionSettled'))).toBe(ready);
});

test('while one is open the server does not sleep', () => {
  const { fleet, fact } = scriptedFleet();
  const refusals = () => sleepRefusals(fleet, viewOf(fleet, 's1'), witnesses(startMs), startMs);
  fact('ContradictionDetected', {});
  expect(refusals()).toContain('its witnesses disagree: ghost');
  fact('ContradictionSettled', { agreed: false });
  expect(refusals()).not.toContain('its witnesses disagree: ghost');
});

test('in a storm it gets no requests until it stands', () => {
  const storm = evolveServer(ready, eventOf('ContradictionDetected', { contradiction: 'restartStorm' }));
  const verdict = eventOf('ContradictionSettled', { contradiction: 'restartStorm', agreed: false });
  const stood = eventOf('ContradictionSettled', { contradiction: 'restartStorm', agreed: true });
  expect([isInStorm(storm), takesRequests(storm), takesRequests(evolveServer(storm, verdict))]).toEqual([
    true,
    false,
    false,
  ]);
  expect(takesRequests(evolveServer(storm, stood))).toBe(true);
  expect(takesRequests(open)).toBe(true);
});

test('a storm of restarts: boots nobody asked for, remembered by the history, within the window', () => {
  const boot = (server: ServerState, bootId: string, afterMs: number) =>
    evolveServer(server, eventOf('HeartbeatStarted', { bootId }, startMs + afterMs));
  const first = boot(newServer('s1', 'web', startMs), 'b0', 0);
  const stormy = ['b1', 'b2', 'b3'].reduce((server, id, index) => boot(server, id, index * 1_000), first);
  expect(first.restartsAtMs).toBeUndefined();
  expect(isStorm(stormy, bounds, startMs + 2_000)).toBe(true);
  expect(isStorm(stormy, bounds, startMs + bounds.restartStormWindowMs)).toBe(false);
  expect(boot(stormy, 'b3', 3_000).restartsAtMs).toHaveLength(3);
  const many = Array.from({ length: 200 }, (_, index) => index).reduce(
    (server, index) => boot(server, `c${index}`, index),
    first,
  );
  expect(many.restartsAtMs).toHaveLength(64);
});

test('the boot that our wake brought about is none of them, even when its first word comes after its first answer', () => {
  const speaking = evolveServer(
    newServer('s1', 'web', startMs),
    eventOf('HeartbeatStarted', { bootId: 'b1' }),
  );
  const slept = ['ServerPoweredOn', 'ServerBecameHealthy', 'SleepRequested', 'SleepAttempted'] as const;
  const woken = ['ServerPoweredOff', 'SleepVerified', 'WakeRequested', 'ServerPoweredOn'] as const;
  const ready = [...slept, ...woken, 'ServerBecameHealthy' as const].reduce(
    (server, type, index) => evolveServer(server, eventOf(type, {}, startMs + 1 + index)),
    speaking,
  );
  expect(ready.lifecycle).toBe('ready');
  const said = { ...sampleData.HeartbeatSent, bootId: 'b2' };
  expect(factOfHeartbeat(ready, said, startMs + 99)?.type).toBe('HeartbeatStarted');
  const spoke = evolveServer(ready, eventOf('HeartbeatStarted', { bootId: 'b2' }, startMs + 99));
  expect([spoke.lifecycle, spoke.restartsAtMs]).toEqual(['ready', undefined]);
});

test.each<[string, number, number, boolean]>([
  ['in step', 2_000, 2_000, false],
  ['late on the way', 2_000, 6_999, false],
  ['set forward', 9_000, 2_000, true],
  ['set back', -60_000, 2_000, true],
  ['asleep in between', 3_600_000, 3_600_000, false],
])('a clock %s', (_what, sentMs, heardMs, jumped) => {
  const before = { sentMs: startMs, heardMs: startMs };
  expect(clockJumped(before, { sentMs: startMs + sentMs, heardMs: startMs + heardMs }, 5_000)).toBe(jumped);
});
