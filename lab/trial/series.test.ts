import { seededRandom } from '../rack/random.ts';
import type { SimulatedLoad } from '../simulation/load.ts';
import { chapterRandom, chapterSecondsOf, partOf, thinnedArrivals, trialLoad } from './series.ts';

const steady = (rps: number, seconds = 86_400): SimulatedLoad => ({
  seconds,
  cappedSeconds: 0,
  rate: () => rps,
});
const part = { fromSecond: 0, toSecond: 86_400, speed: 480 };

/** Variance over mean of the requests in windows of a second of the clock: 1 for a Poisson process. */
function dispersion(arrivals: readonly number[], seconds: number): number {
  const counts = new Array<number>(seconds).fill(0);
  for (const due of arrivals) counts[Math.floor(due)] = (counts[Math.floor(due)] ?? 0) + 1;
  const mean = arrivals.length / seconds;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / seconds / mean;
}

test('the clock sees the rate of the series, for as long as the series is long by the speed', () => {
  const arrivals = [...thinnedArrivals(steady(100), part, seededRandom(1))];
  expect(arrivals.length).toBeGreaterThan(100 * 180 * 0.99);
  expect(arrivals.length).toBeLessThan(100 * 180 * 1.01);
  expect(arrivals.every((due, index) => due >= (arrivals[index - 1] ?? 0) && due < 180)).toBe(true);
});

test('a replay is as noisy as the site was: Poisson at speed 1, nearly even at 480', () => {
  const atSpeed = (speed: number) => {
    const toSecond = 300 * speed;
    const load = steady(100, toSecond);
    return dispersion([...thinnedArrivals(load, { fromSecond: 0, toSecond, speed }, seededRandom(3))], 300);
  };
  expect(atSpeed(1)).toBeGreaterThan(0.7);
  expect(atSpeed(1)).toBeLessThan(1.4);
  expect(atSpeed(480)).toBeLessThan(0.05);
});

test('a silent series sends nothing', () => {
  expect([...thinnedArrivals(steady(0), part, seededRandom(1))]).toEqual([]);
});

test('a chapter has the same arrivals whenever it is run, another seed others', () => {
  const draws = (seed: number, chapter: number) => {
    const random = chapterRandom(seed, chapter);
    return [random(), random()];
  };
  expect(draws(1, 3)).toEqual(draws(1, 3));
  expect(draws(1, 3)).not.toEqual(draws(2, 3));
  expect(draws(1, 3)).not.toEqual(draws(1, 4));
});

test.each([
  [480, 86_400],
  [144, 86_400],
  [60, 6 * 3_600],
  [10, 3_600],
  [1, 3_600],
])('at speed %d a chapter is %d s of the series', (speed, seconds) => {
  expect(chapterSecondsOf(speed)).toBe(seconds);
});

const trace = { stepSeconds: 3_600, rates: Array.from({ length: 72 }, (_, hour) => hour) };

test('a part of the series, scaled as the whole is', () => {
  expect(partOf(trace, 1, 1).rates).toEqual(trace.rates.slice(24, 48));
  const whole = trialLoad(trace, { firstDay: 0, days: undefined }, 710, 1_000);
  const second = trialLoad(trace, { firstDay: 1, days: 1 }, 710, 1_000);
  expect(second.seconds).toBe(86_400);
  expect(second.rate(5_000)).toBe(whole.rate(86_400 + 5_000));
});

test('a part beyond the series is refused', () => {
  expect(() => partOf(trace, 2, 2)).toThrow('which has 3.00 days');
});
