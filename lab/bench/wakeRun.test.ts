import { runWakeBench } from './wakeRun.ts';

const small = { servers: 60, wakes: 150, failureShare: 0.1, hangShare: 0.2, spares: 1, seed: 7 };

test('substitutes at the first missed quantile, and a spare, bring the capacity in time', () => {
  const result = runWakeBench(small);
  expect(result.reachedInTimePercent).toBeGreaterThanOrEqual(97);
  expect(result.overdue).toBeGreaterThan(0);
  expect(result.climbs).toBeGreaterThan(0);
  expect(result.cases).toBeGreaterThan(20);
});

test('the same seed gives the same figures, and what nothing can save is not called saved', () => {
  const hopeless = { ...small, wakes: 60, failureShare: 0.5, hangShare: 1, spares: 0 };
  const result = runWakeBench(hopeless);
  expect(result.reachedInTimePercent).toBeLessThan(80);
  expect(runWakeBench(hopeless)).toEqual(result);
});
