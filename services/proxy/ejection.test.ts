import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { PoolConfig } from '../../libs/events/mod.ts';
import { type EjectionCase, ejectedUntilMs } from './ejection.ts';

const pool = fleetConfig().pools.web as PoolConfig;

const cases: [string, EjectionCase, number | undefined][] = [
  ['one of three cannot be reached', { why: 'unreachable', takers: 3, ejected: 0 }, 6_000],
  [
    'the last of three cannot be reached: it is tried again soon',
    { why: 'unreachable', takers: 3, ejected: 2 },
    1_250,
  ],
  ['the only one cannot be reached', { why: 'unreachable', takers: 1, ejected: 0 }, 1_250],
  ['one of three fails', { why: 'failing', takers: 3, ejected: 0 }, 6_000],
  ['half may be away', { why: 'failing', takers: 4, ejected: 1 }, 6_000],
  ['more than half may not', { why: 'failing', takers: 3, ejected: 1 }, undefined],
  ['the only one fails: it stays', { why: 'failing', takers: 1, ejected: 0 }, undefined],
];

test.each(cases)('%s', (_what, situation, untilMs) => {
  expect(ejectedUntilMs(situation, pool, 1_000)).toBe(untilMs);
});

test('even where all may be ejected, the last that only fails stays', () => {
  const circuit = { ...pool.circuit, maxEjectedShare: 1 };
  expect(ejectedUntilMs({ why: 'failing', takers: 2, ejected: 1 }, { ...pool, circuit }, 0)).toBeUndefined();
});
