import { parseConfig } from '../../libs/runtime/config.ts';
import { rateAt } from '../traces/trace.ts';
import { simulatePolicy } from './simulate.ts';
import { createWorld, factsOf, figuresOf, testBed } from './world.ts';

const settings = {
  peakRps: 800,
  seed: 1,
  serviceSeconds: 0.1,
  maxParked: 1_000,
  wakeFailure: 0,
  setupSpread: 0,
};
/** Two waves in two hours, a step a minute. */
const trace = {
  stepSeconds: 60,
  rates: Array.from({ length: 120 }, (_none, minute) => 10 + 8 * Math.sin((minute / 60) * 2 * Math.PI)),
};
const choice = { parameters: {}, spare: 0, risk: undefined, config: undefined };

test('the load is scaled to the peak and follows the series', () => {
  const { load } = createWorld(trace, testBed, settings);
  const greatest = Math.max(...trace.rates);
  expect(load.seconds).toBe(7_200);
  expect(load.rate(915)).toBeCloseTo((rateAt(trace, 915.5) / greatest) * 800, 6);
});

test('a policy is judged against the optimum and against always on', async () => {
  const world = createWorld(trace, testBed, settings);
  const optimal = figuresOf(await simulatePolicy(world, { ...choice, policy: 'optimal' }), world);
  const elastic = figuresOf(await simulatePolicy(world, { ...choice, policy: 'zeroSetupOptimal' }), world);
  const alwaysOn = figuresOf(await simulatePolicy(world, { ...choice, policy: 'alwaysOn' }), world);
  expect(optimal).toMatchObject({ vsOptimal: 1, lateFraction: 0, refusedFraction: 0 });
  expect(elastic.vsOptimal).toBeLessThan(1);
  // Arrivals are drawn, the reckoned fleet is not.
  expect(alwaysOn.vsAlwaysOn).toBeCloseTo(1, 3);
  expect(alwaysOn).toMatchObject({ lateFraction: 0, cyclesPerServerDay: 0 });
});

test('every run of a world draws the same, spread of setup times and failed wakes included', async () => {
  const world = createWorld(trace, testBed, { ...settings, wakeFailure: 0.3, setupSpread: 0.5 });
  const [first, second] = await Promise.all(
    [1, 2].map(() => simulatePolicy(world, { ...choice, policy: 'peakHold' })),
  );
  expect({ ...first, decideMicros: 0 }).toEqual({ ...second, decideMicros: 0 });
  const calm = createWorld(trace, testBed, settings);
  const sure = await simulatePolicy(calm, { ...choice, policy: 'peakHold' });
  expect(first?.wakes).toBeGreaterThan(sure.wakes);
  expect(first?.requests).toBe(sure.requests);
});

test('spare servers take more energy', async () => {
  const world = createWorld(trace, testBed, settings);
  const energyWith = async (spare: number) =>
    (await simulatePolicy(world, { ...choice, policy: 'reactive', spare })).energyWh;
  expect(await energyWith(2)).toBeGreaterThan((await energyWith(0)) + 2 * 100);
});

test.each([
  [{ policy: 'reactiv' }, '--policy must be one of nemuri, optimal'],
  [{ policy: 'kpa', parameters: { windowSeconds: 3 } }, 'kpa has no parameter windowSeconds; it has stable'],
  [{ policy: 'optimal', parameters: { a: 3 } }, 'optimal has no parameter a; it has none'],
])('refuses %j', async (what, message) => {
  const world = createWorld(trace, testBed, settings);
  await expect(simulatePolicy(world, { ...choice, ...what })).rejects.toThrow(message);
});

test('a fleet from a configuration is scaled as a whole', () => {
  const parsed = parseConfig(
    `version: 1
pools: { web: { latencyObjectiveMs: 400 } }
servers:
  a: { pool: web, url: "http://10.0.0.1", capacityRps: 100, energy: { idleWatts: 50, busyWatts: 80 } }
  b: { pool: web, url: "http://10.0.0.2", capacityRps: 200, energy: { idleWatts: 90, busyWatts: 220 } }
`,
    { file: 'fleet.yaml' },
  );
  if (!parsed.ok) throw new Error('not valid');
  expect(factsOf(parsed.config)).toMatchObject({
    servers: 2,
    capacityRps: 150,
    idleWatts: 70,
    busyWatts: 150,
    setupSeconds: 260,
    latencyObjectiveSeconds: 0.4,
  });
});
