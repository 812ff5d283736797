import { createRateLimit } from './rateLimit.ts';

test('so many in any window, each key by itself', () => {
  const limit = createRateLimit(2, 1_000);
  expect([limit.take('a', 0), limit.take('a', 100), limit.take('b', 100)]).toEqual([0, 0, 0]);
  expect(limit.take('a', 200)).toBe(800);
  expect(limit.take('a', 1_000)).toBe(0);
});
