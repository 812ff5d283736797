import fc from 'fast-check';
import type { SimulatedLoad } from '../load.ts';
import { clairvoyantPlan } from './optimal.ts';
import type { FleetFacts } from './policy.ts';

const facts: FleetFacts = {
  servers: 3,
  capacityRps: 10,
  setupSeconds: 2,
  idleWatts: 140,
  busyWatts: 200,
  setupWatts: 200,
  offWatts: 10,
  latencyObjectiveSeconds: 0.5,
};

const loadOf = (rates: readonly number[]): SimulatedLoad => ({
  seconds: rates.length,
  cappedSeconds: 0,
  rate: (second) => rates[second] ?? 0,
});

/**
 * The least joules by trying everything: each second each server that is off may begin its setup and each that is on
 * may go off, or off and into its setup; whoever begins a setup ends it. A server is -1 (off), 0 (on), or the seconds
 * of setup left.
 */
function leastJoules(rates: readonly number[], fleet: FleetFacts): number {
  const known = new Map<string, number>();
  const off = -1;
  const from = (second: number, servers: readonly number[]): number => {
    const rate = rates[second];
    if (rate === undefined) return 0;
    const key = `${second}:${[...servers].sort()}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    let least = Number.POSITIVE_INFINITY;
    for (const now of choices(servers, fleet.setupSeconds)) {
      const on = now.filter((server) => server === 0).length;
      if (on * fleet.capacityRps < rate) continue;
      const watts =
        now.reduce((sum, server) => {
          return sum + (server === off ? fleet.offWatts : server === 0 ? fleet.idleWatts : fleet.setupWatts);
        }, 0) +
        (fleet.busyWatts - fleet.idleWatts) * (rate / fleet.capacityRps);
      const next = now.map((server) => (server > 0 ? server - 1 : server));
      least = Math.min(least, watts + from(second + 1, next));
    }
    known.set(key, least);
    return least;
  };
  const choices = ([first, ...rest]: readonly number[], setup: number): number[][] => {
    if (first === undefined) return [[]];
    const own = first === off ? [off, setup] : first === 0 ? [0, off, setup] : [first];
    return choices(rest, setup).flatMap((others) => own.map((server) => [server, ...others]));
  };
  return from(0, new Array<number>(fleet.servers).fill(0));
}

test('nobody does better: brute force on tiny cases', () => {
  const series = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 12 });
  const fleets = fc.record({
    setupSeconds: fc.integer({ min: 0, max: 3 }),
    setupWatts: fc.integer({ min: facts.idleWatts, max: 400 }),
    offWatts: fc.integer({ min: 0, max: 60 }),
  });
  fc.assert(
    fc.property(series, fleets, (steps, some) => {
      const rates = steps.map((servers) => servers * 9.5);
      const fleet = { ...facts, ...some };
      const plan = clairvoyantPlan(loadOf(rates), fleet);
      expect(plan.energyWh * 3_600).toBeCloseTo(leastJoules(rates, fleet), 4);
    }),
    { numRuns: 150, seed: 1 },
  );
});

test('sleeps through a gap only when that pays, and wakes in time', () => {
  // 130 W saved while off against 190 W × 2 s for the setup: worth it from 3 s.
  const gapOf = (gap: number) => [25, ...new Array<number>(gap).fill(15), 25];
  expect([...clairvoyantPlan(loadOf(gapOf(2)), { ...facts, setupSeconds: 2 }).awake]).toEqual([3, 3, 3, 3]);
  const plan = clairvoyantPlan(loadOf(gapOf(5)), { ...facts, setupSeconds: 2 });
  expect([...plan.awake]).toEqual([3, 2, 2, 2, 3, 3, 3]);
  expect(plan.wakes).toBe(1);
});

test('never sleeps through a gap shorter than the setup, however little that draws', () => {
  const cheap = { ...facts, setupSeconds: 3, setupWatts: 1, offWatts: 0 };
  expect([...clairvoyantPlan(loadOf([25, 15, 15, 25]), cheap).awake]).toEqual([3, 3, 3, 3]);
});

test('without a setup time it needs exactly what the load needs', () => {
  const plan = clairvoyantPlan(loadOf([25, 5, 0, 25]), { ...facts, setupSeconds: 0 });
  expect([...plan.awake]).toEqual([3, 1, 0, 3]);
});
