import fc from 'fast-check';
import { cautiousQuantile, confirmMs, expectedOnMs, expectedReadyMs, rungTimeoutMs } from './setupTime.ts';
import { fleetConfig, scriptedFleet, viewOf, withServers } from './testing/builders.ts';

function server(setupTimesMs: number[], powerOnTimesMs: number[] = [], bounds: object = {}) {
  const config = fleetConfig({ bounds, server: { energy: { setupTimeMs: 100_000 } } });
  const { fleet } = scriptedFleet(config);
  const view = viewOf(withServers(fleet, { s1: { setupTimesMs, powerOnTimesMs } }), 's1');
  const [method] = view.config.power;
  if (!method) throw new Error('no method');
  return { view, method, bounds: config.bounds };
}

test.each<[number[], number | undefined]>([
  [[], undefined],
  [[100], 200],
  [[100, 90], 150],
  [[100, 90, 80, 70], 125],
  [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 9],
  [[1, 2, 3, 4, 5, 6, 7, 8, 9, 1_000], 9],
  [[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7], 7],
])('the cautious 0.9-quantile of %j is %d', (samples, expected) => {
  expect(cautiousQuantile(samples, 0.9)).toBe(expected);
});

test('a quantile never lies below what is usual, nor is it moved by the order of its samples', () => {
  const samples = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 16 });
  fc.assert(
    fc.property(samples, fc.double({ min: 0.5, max: 1, noNaN: true }), (times, share) => {
      const sorted = [...times].sort((a, b) => a - b);
      const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
      const quantile = cautiousQuantile(times, share) ?? Number.NaN;
      expect(quantile).toBeGreaterThanOrEqual(median);
      expect(quantile).toBeLessThanOrEqual((sorted.at(-1) ?? 0) * 2);
      expect(cautiousQuantile([...times].reverse(), share)).toBe(quantile);
    }),
  );
});

test('a wake nobody has measured is given what the config says, stretched; a rung at most wakeTimeoutMs', () => {
  const { view, method, bounds } = server([]);
  expect(expectedReadyMs(view, bounds)).toBe(150_000);
  expect(expectedOnMs(view, method, bounds)).toBe(60_000);
  expect(confirmMs(view, method, bounds)).toBe(60_000);
  expect(rungTimeoutMs(view, bounds)).toBe(600_000);
  expect(rungTimeoutMs(server([1_000_000]).view, bounds)).toBe(780_000);
});

test('a rung still waits for a boot three times as slow as any before, and no machine gets less than the minimum', () => {
  const slowest = Math.max(...Array.from({ length: 16 }, (_, index) => 50_000 + index));
  const { view, bounds } = server(Array.from({ length: 16 }, (_, index) => 50_000 + index));
  expect(rungTimeoutMs(view, bounds)).toBeGreaterThan(3 * slowest);
  expect(rungTimeoutMs(server([10]).view, bounds)).toBe(10_000);
});

test('the time to hardware on is learned, so that a lost wake is repeated early', () => {
  const { view, method, bounds } = server([], [4_000, 4_000]);
  expect(expectedOnMs(view, method, bounds)).toBe(6_000);
  expect(confirmMs(view, method, bounds)).toBe(12_000);
  const quick = server([], [10, 10]);
  expect(confirmMs(quick.view, quick.method, quick.bounds)).toBe(5_000);
});
