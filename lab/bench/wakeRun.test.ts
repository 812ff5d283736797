import { runWakeBench } from './wakeRun.ts';

const small = { servers: 40, wakes: 80, failureShare: 0.1, hangShare: 0.2, spares: 1, seed: 7 };

test('substitutes at the first missed quantile, and a spare, bring the capacity in time', () => {
  const result = runWakeBench(small);
  expect(result.reachedInTimePercent).toBeGreaterThanOrEqual(95);
  expect(result.overdue).toBeGreaterThan(0);
  expect(result.climbs).toBeGreaterThan(0);
  expect(result.cases).toBeGreaterThan(10);
});

test('the same seed gives the same figures, and what nothing can save is not called saved', () => {
  const hopeless = { ...small, wakes: 30, failureShare: 0.5, hangShare: 1, spares: 0 };
  const result = runWakeBench(hopeless);
  expect(result.reachedInTimePercent).toBeLessThan(80);
  expect(runWakeBench(hopeless)).toEqual(result);
});
