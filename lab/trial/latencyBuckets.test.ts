import { addBuckets, bucketBoundMs, bucketOf, emptyBuckets, quantileMs } from './latencyBuckets.ts';

test.each([0, 0.5, 1, 1.01, 10, 499, 500, 99_000])('%d ms lies at or below the bound of its bucket', (ms) => {
  const bucket = bucketOf(ms);
  expect(bucketBoundMs(bucket)).toBeGreaterThanOrEqual(ms * 0.999_999);
  if (bucket > 0) expect(bucketBoundMs(bucket - 1)).toBeLessThan(Math.max(ms, 1));
});

test('what is longer than all buckets is in the last', () => {
  expect(bucketOf(1e9)).toBe(emptyBuckets().length - 1);
});

test('quantiles of added parts', () => {
  const one = emptyBuckets();
  const other = emptyBuckets();
  one[bucketOf(10)] = 90;
  other[bucketOf(1_000)] = 10;
  addBuckets(one, other);
  expect(quantileMs(one, 0.5)).toBe(10);
  expect(quantileMs(one, 0.9)).toBe(10);
  expect(quantileMs(one, 0.95)).toBe(1_000);
  expect(quantileMs(emptyBuckets(), 0.5)).toBe(0);
});
