import { seededRandom } from '../rack/random.ts';
import { accidentKinds, planAccidents } from './plan.ts';

test('a seed draws the same accidents again, all kinds of them, in order', () => {
  const plan = planAccidents(20 * 60_000, seededRandom(5));
  expect(planAccidents(20 * 60_000, seededRandom(5))).toEqual(plan);
  expect(planAccidents(20 * 60_000, seededRandom(6))).not.toEqual(plan);
  expect(new Set(plan.map(({ kind }) => kind)).size).toBe(accidentKinds.length);
  const times = plan.map(({ atMs }) => atMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(plan.length).toBeGreaterThan(200);
});
