import { intervalOf, trendOf } from './statistics.ts';

test('one value has no interval; equal values a narrow one', () => {
  expect(intervalOf([60])).toEqual({ mean: 60, halfWidth: null, values: [60] });
  expect(intervalOf([60, 60, 60]).halfWidth).toBe(0);
});

test('the interval is that of Student: 1, 2, 3 give 2 ± 2.484', () => {
  const { mean, halfWidth } = intervalOf([1, 2, 3]);
  expect(mean).toBe(2);
  expect(halfWidth).toBeCloseTo(2.484, 2);
});

const samples = (of: (index: number) => number) => Array.from({ length: 100 }, (_, index) => of(index));

test.each([
  ['level', samples((index) => 100 + (index % 7)), 'flat'],
  ['warming up and then level', samples((index) => Math.min(100, 40 + index * 4)), 'flat'],
  ['a leak', samples((index) => 100 + index * 2), 'grows'],
  ['one sample', [1], 'too short'],
] as const)('%s: %s', (_name, values, verdict) => {
  expect(trendOf(values, 10).verdict).toBe(verdict);
});

test('growth below what is allowed is none', () => {
  expect(
    trendOf(
      samples((index) => 1 + index * 0.05),
      20,
    ).verdict,
  ).toBe('flat');
});
