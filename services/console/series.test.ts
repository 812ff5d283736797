import { fleetConfig, sampleData } from '../../libs/domain/testing/builders.ts';
import { createSeries, keptSeconds, type Point } from './series.ts';

const config = fleetConfig({ servers: 2 });
const at = (points: readonly Point[], second: number) => points.find(([time]) => time === second);
const load = (over: object) => ({ ...sampleData.LoadSampled, ...over });

test('arrivals are spread over the seconds that an interval covers', () => {
  const series = createSeries('web');
  series.load(102_500, load({ arrivals: 40, intervalMs: 2_000, completed: 40 }));
  const points = series.points(0, config);
  expect([100, 101, 102].map((second) => at(points, second)?.[1])).toEqual([10, 20, 10]);
});

test('two proxies add up', () => {
  const series = createSeries('web');
  for (const proxy of ['p1', 'p2']) series.load(101_000, load({ proxy, arrivals: 7, intervalMs: 1_000 }));
  expect(at(series.points(0, config), 100)?.[1]).toBe(14);
});

test('what is forecast stands at the second it is for', () => {
  const series = createSeries('web');
  const inputs = { ...sampleData.CapacityDecided.inputs, horizonMs: 260_000, levelRps: 50 };
  series.decision(100_000, { ...sampleData.CapacityDecided, inputs, forecastRps: 80 });
  expect(at(series.points(0, config), 360)?.slice(3, 5)).toEqual([50, 80]);
});

test('watts are those of all meters heard, and always on is by the model', () => {
  const series = createSeries('web');
  series.meter(100_000, 's1', 150);
  series.meter(100_400, 's2', 10);
  series.load(101_000, load({ arrivals: 0, intervalMs: 1_000, completed: 0 }));
  const idle = Object.values(config.servers).reduce((sum, { energy }) => sum + energy.idleWatts, 0);
  expect(at(series.points(0, config), 100)?.slice(5)).toEqual([160, idle, null, null]);
});

test('keeps a quarter of an hour, and believes no clock that is far ahead', () => {
  const series = createSeries('web');
  series.capacity(100_000, 1);
  series.capacity(100_000 + keptSeconds * 1_000, 2);
  series.capacity(9_999_999_000, 3);
  expect(series.points(0, config).map(([, , capacity]) => capacity)).toEqual([2]);
});
