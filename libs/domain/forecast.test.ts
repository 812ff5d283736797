import { createForecast, type Forecast, forecastStepMs } from './forecast.ts';
import { createErrorTail } from './tail.ts';

/** A seeded stream in [0, 1), for noise that is the same in each run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}
const normal = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Feeds `rateAt(step)` and counts how often it exceeds what was forecast for that step. */
function exceeded(
  forecast: Forecast,
  steps: number,
  rateAt: (step: number) => number,
  probability: number,
  from = 0,
) {
  const ahead = Math.round((forecast.horizonMs + forecast.stepMs) / forecast.stepMs);
  const said: number[] = [];
  let above = 0;
  for (let step = 0; step < steps; step += 1) {
    const rate = rateAt(step);
    const upper = said[step - ahead];
    if (step >= from && upper !== undefined && rate > upper) above += 1;
    forecast.feed(rate);
    said.push(forecast.upperRps(probability));
  }
  return above / (steps - from);
}

test.each([
  [260_000, 10_000],
  [26_000, 3_000],
  [10_000, 1_000],
  [200, 1_000],
  [3_600_000, 10_000],
])('a setup time of %d ms is looked at in steps of %d ms', (horizonMs, stepMs) => {
  expect(forecastStepMs(horizonMs)).toBe(stepMs);
});

test('nothing known: nothing forecast', () => {
  const forecast = createForecast(260_000);
  expect(forecast.upperRps(0.001)).toBe(0);
  expect(forecast.levelRps).toBe(0);
});

test.each([0.02, 0.005])('a noisy level exceeds its forecast as often as asked: %d', (probability) => {
  const random = randomOf(7);
  const noisy = () => Math.max(0, 150 + 30 * normal(random));
  const share = exceeded(createForecast(260_000), 20_000, noisy, probability, 2_000);
  expect(share).toBeGreaterThan(probability / 3);
  expect(share).toBeLessThan(probability * 2);
});

test('less risk asks for more', () => {
  const random = randomOf(3);
  const forecast = createForecast(260_000);
  for (let step = 0; step < 2_000; step += 1) forecast.feed(100 + 20 * normal(random));
  const uppers = [0.01, 0.001, 0.0001].map((probability) => forecast.upperRps(probability));
  expect(uppers).toEqual([...uppers].sort((a, b) => a - b));
  expect(uppers[0]).toBeGreaterThan(100);
  expect(uppers[2]).toBeLessThan(400);
});

test('a ramp is followed by the experts that see the trend', () => {
  const forecast = createForecast(260_000);
  for (let step = 0; step < 600; step += 1) forecast.feed(100 + step * 0.5);
  // In 27 steps it will be 13.5 above what it is now.
  expect(forecast.levelRps).toBeGreaterThan(400);
  expect(forecast.upperRps(0.01)).toBeGreaterThan(410);
  const fast = forecast.weights().filter(({ expert }) => /level over (33|65|130) s/.test(expert));
  expect(fast.reduce((sum, { share }) => sum + share, 0)).toBeGreaterThan(0.8);
});

test('a job that runs each half-hour is expected before it comes, and not all the time', () => {
  const forecast = createForecast(260_000);
  const stepsPerHalfHour = 180;
  const rateAt = (step: number) => (step % stepsPerHalfHour < 9 ? 400 : 100);
  for (let step = 0; step < stepsPerHalfHour * 96; step += 1) forecast.feed(rateAt(step));
  const uppers: number[] = [];
  for (let step = 0; step < stepsPerHalfHour; step += 1) {
    forecast.feed(rateAt(step));
    uppers.push(forecast.upperRps(0.01));
  }
  const before = Math.max(...uppers.slice(-26));
  const quiet = Math.min(...uppers.slice(40, 120));
  expect(before).toBeGreaterThan(380);
  expect(quiet).toBeLessThan(250);
  const shape = forecast.weights().find(({ expert }) => expert === 'shape of half-hours');
  expect(shape?.share).toBeGreaterThan(0.3);
});

test('after a gap what was learned stays, and what was open is not judged', () => {
  const random = randomOf(5);
  const forecast = createForecast(260_000);
  for (let step = 0; step < 3_000; step += 1) forecast.feed(100 + 10 * normal(random));
  const before = forecast.upperRps(0.001);
  forecast.skip(100);
  for (let step = 0; step < 5; step += 1) forecast.feed(100 + 10 * normal(random));
  expect(forecast.upperRps(0.001)).toBeGreaterThan(before * 0.9);
  expect(forecast.upperRps(0.001)).toBeLessThan(before * 1.1);
});

test('the same rates give the same forecast', () => {
  const run = () => {
    const random = randomOf(11);
    const forecast = createForecast(60_000);
    for (let step = 0; step < 1_000; step += 1) forecast.feed(random() * 300);
    return [forecast.upperRps(0.001), forecast.levelRps, ...forecast.weights().map(({ share }) => share)];
  };
  expect(run()).toEqual(run());
});

describe('the tail of errors', () => {
  const options = { stepMs: 10_000, scaleMs: 7_200_000, shapeMs: 604_800_000 };
  /** Feeds `count` errors around 100 and returns the rate exceeded with this probability. */
  const learned = (count: number, error: () => number, probability: number) => {
    const tail = createErrorTail(options);
    for (let index = 0; index < count; index += 1) {
      const scale = tail.scaleAt(100);
      tail.add(100 + error(), 100, scale);
    }
    return 100 + tail.scaleAt(100) * tail.quantile(probability);
  };

  test('before it has learned it is cautious', () => {
    expect(createErrorTail(options).scaleAt(100)).toBeCloseTo(4 * Math.sqrt(110));
  });

  test('is near the quantile of normal errors', () => {
    const random = randomOf(13);
    // The 99.9th percentile of a normal distribution is 3.09 deviations up.
    const upper = learned(20_000, () => 10 * normal(random), 0.001);
    expect(upper).toBeGreaterThan(100 + 27);
    expect(upper).toBeLessThan(100 + 40);
  });

  test('reaches further for errors with a heavy tail', () => {
    const random = randomOf(17);
    const heavy = () => 10 * (normal(random) / Math.sqrt(0.1 + random()));
    const light = () => 10 * normal(random);
    expect(learned(20_000, heavy, 0.0001)).toBeGreaterThan(learned(20_000, light, 0.0001));
  });
});
