import {
  clockJumped,
  evolveContradictions,
  factOfContradictions,
  isInStorm,
  isStorm,
  openContradictions,
  withBoot,
} from './contradictions.ts';
import { takesRequests } from './routing.ts';
import { evolveServer, newServer, type ServerState } from './server.ts';
import { sleepRefusals } from './sleepPermission.ts';
import {
  eventOf,
  fleetConfig,
  readyState,
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

test('a storm is so many boots within the window', () => {
  const windowMs = bounds.restartStormWindowMs;
  let boots: readonly number[] = [];
  for (const afterMs of [0, 1_000, 2_000]) boots = withBoot(boots, startMs + afterMs, windowMs);
  expect(isStorm(boots, bounds, startMs + 2_000)).toBe(true);
  expect(isStorm(boots.slice(1), bounds, startMs + 2_000)).toBe(false);
  expect(isStorm(boots, bounds, startMs + windowMs)).toBe(false);
  for (let count = 0; count < 200; count += 1) boots = withBoot(boots, startMs + count, windowMs);
  expect(boots.length).toBe(64);
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
