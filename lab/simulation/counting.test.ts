import { seededRandom } from '../rack/random.ts';
import { type SimulationOptions, simulateCounting } from './counting.ts';
import { drawArrivals, type SimulatedLoad } from './load.ts';
import type { FleetFacts } from './policies/policy.ts';

const facts: FleetFacts = {
  servers: 4,
  capacityRps: 60,
  setupSeconds: 100,
  idleWatts: 140,
  busyWatts: 200,
  setupWatts: 200,
  offWatts: 10,
  latencyObjectiveSeconds: 0.5,
};

const steady = (rate: number, seconds: number): SimulatedLoad => ({
  seconds,
  cappedSeconds: 0,
  rate: () => rate,
});

function world(load: SimulatedLoad, overrides: Partial<SimulationOptions> = {}): SimulationOptions {
  return {
    load,
    facts,
    arrivals: drawArrivals(load, 240, seededRandom(1)).perSecond,
    random: seededRandom(2),
    serviceSeconds: 0.1,
    maxWaiting: 1_000,
    wakeFailure: 0,
    setupSpread: 0,
    ...overrides,
  };
}

test('counts the energy of each state', () => {
  const idle = simulateCounting({ decide: () => 1 }, world(steady(0, 3_600)));
  expect(idle.energyWh).toBeCloseTo(140 + 3 * 10, 6);
  // One sleeps in the first second, is woken in the second after, and serves from 101 on.
  const woken = simulateCounting({ decide: ({ second }) => (second === 0 ? 3 : 4) }, world(steady(0, 200)));
  expect(woken.energyWh * 3_600).toBeCloseTo(3 * 200 * 140 + 10 + 100 * 200 + 99 * 140, 6);
  expect(woken.wakes).toBe(1);
});

test('a wake that is called off costs its setup power so far and serves nothing', () => {
  const policy = { decide: ({ second }: { second: number }) => (second > 0 && second <= 50 ? 4 : 3) };
  const { energyWh } = simulateCounting(policy, world(steady(0, 200)));
  expect(energyWh * 3_600).toBeCloseTo(3 * 200 * 140 + 150 * 10 + 50 * 200, 6);
});

test('setup times spread around their mean', () => {
  const policy = { decide: ({ second }: { second: number }) => (second % 400 < 10 ? 1 : 4) };
  const energies = [1, 2, 3].map((seed) => {
    const spread = { setupSpread: 0.5, random: seededRandom(seed) };
    return simulateCounting(policy, world(steady(0, 40_000), spread)).energyWh;
  });
  const even = simulateCounting(policy, world(steady(0, 40_000))).energyWh;
  expect(new Set([even, ...energies]).size).toBe(4);
  for (const energy of energies) expect(energy / even).toBeCloseTo(1, 1);
});

test('the same seed gives the same result, another one does not', () => {
  const run = (seed: number) => {
    const load = steady(100, 600);
    return simulateCounting(
      { decide: ({ arrivals }) => (arrivals > 100 ? 3 : 2) },
      world(load, { arrivals: drawArrivals(load, 240, seededRandom(seed)).perSecond, wakeFailure: 0.2 }),
    );
  };
  expect(run(1)).toEqual(run(1));
  expect(run(1)).not.toEqual(run(2));
});

test('a failed wake is tried anew, and no wake leads to more requests late', () => {
  const policy = { decide: ({ second }: { second: number }) => (second < 10 ? 1 : 3) };
  const load = steady(110, 1_200);
  const sure = simulateCounting(policy, world(load));
  const unsure = simulateCounting(policy, world(load, { wakeFailure: 0.7 }));
  expect(unsure.wakes).toBeGreaterThan(sure.wakes);
  expect(unsure.late + unsure.refused).toBeGreaterThan(sure.late + sure.refused);
});

test('arrivals above what the fleet can serve in a second are cut off and counted', () => {
  const load = steady(240, 1_000);
  const { perSecond, cappedRequests } = drawArrivals(load, 240, seededRandom(1));
  expect(Math.max(...perSecond)).toBe(240);
  expect(cappedRequests).toBeGreaterThan(1_000);
  expect(simulateCounting({ decide: () => 4 }, world(load)).late).toBe(0);
});
