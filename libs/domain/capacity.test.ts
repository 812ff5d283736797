import fc from 'fast-check';
import {
  type CapacityKnown,
  type CapacityLearned,
  capacityRpsOf,
  createCapacityLearner,
} from './capacity.ts';
import { newServer } from './server.ts';
import { fleetConfig } from './testing/builders.ts';

const objective = { configuredRps: 100, latencyObjectiveMs: 500 };

/**
 * Offers a server that sustains `kneeRps` these rates, ten seconds each, and takes over what is learned. Beyond its
 * knee it yields what it can, slowly.
 */
function serve(kneeRps: number, rates: readonly number[], start: Partial<CapacityKnown> = {}) {
  const learner = createCapacityLearner();
  let known: CapacityKnown = { ...objective, capacityRps: 100, ...start };
  const learned: CapacityLearned[] = [];
  let timeMs = 1_000_000;
  for (const rate of rates) {
    for (let second = 0; second < 10; second += 1) {
      timeMs += 1_000;
      const isBeyond = rate > kneeRps;
      const completed = Math.round(Math.min(rate, kneeRps));
      const sample = { timeMs, intervalMs: 1_000, completed, failed: 0, p95Ms: isBeyond ? 2_000 : 80 };
      const news = learner.observe(sample, known);
      if (!news) continue;
      learned.push(news);
      known = { ...known, capacityRps: news.capacityRps };
    }
  }
  return { learned, capacityRps: known.capacityRps };
}
const times = (count: number, rate: number) => Array.from({ length: count }, () => rate);

test('a server that gets through less than it was configured for is lowered to what it gets through', () => {
  const { learned, capacityRps } = serve(60, times(12, 100));
  expect(capacityRps).toBeCloseTo(57, 0);
  expect(learned[0]).toEqual({
    capacityRps: 70,
    configuredRps: 100,
    reason: '60 requests/s for 30 s at a 95th percentile up to 2000 ms, beyond the objective of 500 ms',
  });
});

test('one that gets through more with ease is raised to what was proven, step by step', () => {
  const { learned, capacityRps } = serve(1_000, times(12, 125));
  expect(learned.map((one) => one.capacityRps)).toEqual([110, 121, 125]);
  expect(capacityRps).toBe(125);
});

test('what it does with ease at less than its capacity proves nothing', () => {
  expect(serve(1_000, times(30, 90)).learned).toEqual([]);
});

test('slow answers to few requests are not the load’s doing', () => {
  const learner = createCapacityLearner();
  for (let second = 1; second <= 120; second += 1) {
    const sample = { timeMs: second * 1_000, intervalMs: 1_000, completed: 30, failed: 0, p95Ms: 5_000 };
    expect(learner.observe(sample, { ...objective, capacityRps: 100 })).toBeUndefined();
  }
});

test('a single slow window, failures and pauses teach nothing', () => {
  expect(serve(60, [100, 100, 50, 100, 100, 50, 100, 100]).learned).toEqual([]);
  const failing = createCapacityLearner();
  const forgetful = createCapacityLearner();
  for (let second = 1; second <= 120; second += 1) {
    const sample = { timeMs: second * 1_000, intervalMs: 1_000, completed: 100, failed: 0, p95Ms: 5_000 };
    const known = { ...objective, capacityRps: 100 };
    expect(failing.observe({ ...sample, failed: 20 }, known)).toBeUndefined();
    if (second % 25 === 0) forgetful.forget();
    expect(forgetful.observe(sample, known)).toBeUndefined();
  }
});

test('whatever comes, it stays between a fifth and three times of what is configured, finite and explained', () => {
  const knee = fc.double({ min: 0.1, max: 2_000, noNaN: true });
  const rates = fc.array(fc.double({ min: 0, max: 5_000, noNaN: true }), { minLength: 3, maxLength: 40 });
  fc.assert(
    fc.property(knee, rates, (kneeRps, offered) => {
      for (const { capacityRps, reason } of serve(
        kneeRps,
        offered.flatMap((rate) => times(3, rate)),
      ).learned) {
        expect(capacityRps).toBeGreaterThanOrEqual(20);
        expect(capacityRps).toBeLessThanOrEqual(300);
        expect(reason).toMatch(/requests\/s for 30 s/);
      }
    }),
    { numRuns: 50 },
  );
});

describe('which capacity counts', () => {
  const config = fleetConfig({ servers: 1 });
  const server = config.servers.s1;
  const pool = config.pools.web;
  if (!server || !pool) throw new Error('no server');
  const learning = { ...pool, planner: { ...pool.planner, learnCapacity: true } };
  const state = (configuredRps: number) => ({
    ...newServer('s1', 'web', 0),
    learnedCapacity: { capacityRps: 42, configuredRps },
  });

  test.each([
    ['the learned one', learning, server.capacityRps, 42],
    ['the configured one, once it is another', learning, server.capacityRps + 1, server.capacityRps],
    ['the configured one, where none is to be learned', pool, server.capacityRps, server.capacityRps],
  ])('%s', (_what, inPool, configuredRps, expected) => {
    expect(capacityRpsOf(state(configuredRps), inPool, server)).toBe(expected);
  });
});
