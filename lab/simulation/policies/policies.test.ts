import fc from 'fast-check';
import { seededRandom } from '../../rack/random.ts';
import { dayOf, readTrace, type Trace } from '../../traces/trace.ts';
import { type SimulationOptions, type SimulationResult, simulateCounting } from '../counting.ts';
import { drawArrivals, scaleLoad } from '../load.ts';
import { rivals } from '../rivals.ts';
import { clairvoyantPlan } from './optimal.ts';
import type { CountingPolicy, FleetFacts } from './policy.ts';
import { createSlidingMax, createSlidingMean } from './sliding.ts';

const facts: FleetFacts = {
  servers: 14,
  capacityRps: 60,
  setupSeconds: 260,
  idleWatts: 140,
  busyWatts: 200,
  setupWatts: 200,
  offWatts: 10,
  latencyObjectiveSeconds: 0.5,
};
const fleetRps = facts.servers * facts.capacityRps;

function worldOf(trace: Trace): SimulationOptions {
  const load = scaleLoad(trace, 800, fleetRps);
  return {
    load,
    facts,
    arrivals: drawArrivals(load, fleetRps, seededRandom(1)).perSecond,
    random: seededRandom(2),
    serviceSeconds: 0.1,
    maxWaiting: 1_000,
    wakeFailure: 0,
    setupSpread: 0,
  };
}

let nasa: SimulationOptions;
beforeAll(async () => {
  nasa = worldOf(dayOf(await readTrace('lab/traces/nasa_1995-07-01_14d_1m.csv'), 4));
});

const lateOf = ({ late, refused, requests }: SimulationResult) => (late + refused) / requests;
const published = (name: string): CountingPolicy => {
  const definition = rivals[name];
  if (!definition) throw new Error(`no policy ${name}`);
  return definition.create(facts, definition.defaults);
};

test('calibration: perfect knowledge and a small margin come within 6 % of the optimum, and nothing is late', () => {
  const { load } = nasa;
  const withMargin = (second: number) => load.rate(second) + 1.2 * Math.sqrt(load.rate(second));
  const { awake } = clairvoyantPlan({ ...load, rate: withMargin }, facts);
  const perfect = simulateCounting({ decide: ({ second }) => awake[second] ?? 0 }, nasa);
  const optimum = clairvoyantPlan(load, facts);
  expect(lateOf(perfect)).toBeLessThan(0.00001);
  expect(perfect.energyWh / optimum.energyWh).toBeGreaterThan(1);
  expect(perfect.energyWh / optimum.energyWh).toBeLessThan(1.06);
});

test('calibration: playing the optimum costs what it says', () => {
  const { awake, energyWh } = clairvoyantPlan(nasa.load, facts);
  const played = simulateCounting({ decide: ({ second }) => awake[second] ?? 0 }, nasa);
  expect(played.energyWh / energyWh).toBeCloseTo(1, 2);
});

test('calibration: the whole fleet is never late, DELAYEDOFF of 120 s is for 15 to 57 % of this load', () => {
  expect(lateOf(simulateCounting(published('alwaysOn'), nasa))).toBe(0);
  const delayedOff = lateOf(simulateCounting(published('autoscale'), nasa));
  expect(delayedOff).toBeGreaterThan(0.15);
  expect(delayedOff).toBeLessThan(0.57);
});

test.each(Object.keys(rivals))('%s wants whole numbers of servers, whatever it sees', (name) => {
  const policy = published(name);
  const seen = fc.record({ arrivals: fc.nat(2_000), waiting: fc.nat(1_000), ready: fc.nat(14) });
  let second = 0;
  fc.assert(
    fc.property(seen, (observation) => {
      const target = policy.decide({ second, waking: 0, ...observation });
      second += 1;
      expect(Number.isInteger(target) && target >= 0).toBe(true);
    }),
    { numRuns: 1_000, seed: 3 },
  );
});

test.each(Object.keys(rivals).filter((name) => name !== 'alwaysOn'))(
  '%s follows the load down and up again',
  (name) => {
    const policy = published(name);
    const ask = (from: number, to: number, rate: number) => {
      let target = 0;
      for (let second = from; second < to; second += 1) {
        target = policy.decide({ second, arrivals: rate, waiting: 0, ready: target || 14, waking: 0 });
      }
      return target;
    };
    expect(ask(0, 7_200, 50)).toBeLessThanOrEqual(2);
    expect(ask(7_200, 9_000, 500)).toBeGreaterThanOrEqual(9);
  },
);

/** The targets at some seconds, when `rate(second)` requests come and servers are ready as soon as they are wanted. */
function targetsAt(name: string, rate: (second: number) => number, seconds: readonly number[]): number[] {
  const policy = published(name);
  const targets: number[] = [];
  let ready = facts.servers;
  for (let second = 0; second <= Math.max(...seconds); second += 1) {
    const arrivals = second > 0 ? rate(second - 1) : 0;
    ready = policy.decide({ second, arrivals, waiting: 0, ready, waking: 0 });
    if (seconds.includes(second)) targets.push(ready);
  }
  return targets;
}

test('autoscale: what is idle for 120 s goes, what is needed comes at once', () => {
  const rate = (second: number) => (second < 1_000 ? 590 : second < 2_000 ? 100 : 400);
  expect(targetsAt('autoscale', rate, [119, 121, 1_000, 1_119, 1_121, 2_001])).toEqual([
    14, 10, 10, 10, 2, 7,
  ]);
});

test('autoscale: the idle time of a server starts when it is ready', () => {
  const policy = published('autoscale');
  let target = 0;
  for (let second = 0; second < 600; second += 1) {
    const ready = second <= 301 ? target || 14 : second < 560 ? 2 : target;
    const arrivals = second > 300 && second < 310 ? 300 : 100;
    target = policy.decide({ second, arrivals, waiting: 0, ready, waking: target - ready });
  }
  expect(target).toBe(5);
});

test('reactive: as many as the last 20 s needed', () => {
  const rate = (second: number) => (second < 1_010 ? 590 : 100);
  expect(targetsAt('reactive', rate, [1_000, 1_019, 1_020, 1_040])).toEqual([10, 10, 6, 2]);
});

test('kpa: means of 60 s at 70 %, of 6 s when they ask for twice what is ready', () => {
  const rate = (second: number) => (second < 1_000 ? 80 : 300);
  expect(targetsAt('kpa', rate, [1_000, 1_002, 1_006, 1_100])).toEqual([2, 4, 8, 8]);
});

test('peakHold: the greatest minute of the last half hour and 30 %', () => {
  const rate = (second: number) => (second < 1_000 ? 590 : 100);
  expect(targetsAt('peakHold', rate, [1_000, 2_700, 2_900])).toEqual([13, 13, 3]);
});

test('every default that can be tuned is in the definition, and every grid names a default', () => {
  for (const { defaults, grid } of Object.values(rivals)) {
    expect(Object.keys(defaults)).toEqual(expect.arrayContaining(Object.keys(grid)));
  }
});

describe('windows', () => {
  const values = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 60 });
  const windowSeconds = fc.integer({ min: 1, max: 12 });

  test('the sliding greatest is that of the window', () => {
    fc.assert(
      fc.property(values, windowSeconds, (all, window) => {
        const sliding = createSlidingMax(window);
        all.forEach((value, index) => {
          expect(sliding.push(value)).toBe(
            Math.max(...all.slice(Math.max(0, index + 1 - window), index + 1)),
          );
        });
      }),
      { seed: 4 },
    );
  });

  test('the sliding mean is that of the window', () => {
    fc.assert(
      fc.property(values, windowSeconds, (all, window) => {
        const sliding = createSlidingMean(window);
        all.forEach((value, index) => {
          const part = all.slice(Math.max(0, index + 1 - window), index + 1);
          expect(sliding.push(value)).toBeCloseTo(part.reduce((sum, one) => sum + one, 0) / part.length, 9);
        });
      }),
      { seed: 5 },
    );
  });
});
