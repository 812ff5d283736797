import fc from 'fast-check';
import { createPoolDemand, type DemandSettings, type PoolDemand } from './poolDemand.ts';
import { startMs } from './testing/builders.ts';

const settings: DemandSettings = {
  horizonMs: 60_000,
  sampleIntervalMs: 1_000,
  burstWindowMs: 6_000,
  risk: 0.001,
  dayMs: 86_400_000,
  proxyLeaseMs: 10_000,
  proxyGoneMs: 120_000,
};
const at = (second: number) => startMs + second * 1_000;

function run(
  demand: PoolDemand,
  from: number,
  to: number,
  rps: (second: number) => number,
  provided?: { readyRps: number; wholePool: boolean },
) {
  for (let second = from + 1; second <= to; second += 1) {
    const counts = { arrivals: rps(second), inFlight: 0, parked: 0, stopping: false };
    demand.observe({ proxy: 'p1', timeMs: at(second), intervalMs: 1_000, ...counts });
    demand.advance(at(second), settings, provided);
  }
}
/** Rates that jump about, the same in each run. */
const wobbling = (second: number) => 100 + ((second * 7_919) % 41);

test('a steady load needs somewhat more than itself, the more the less is known', () => {
  const demand = createPoolDemand();
  run(demand, 0, 120, () => 100);
  const early = demand.upperRps(settings, 1);
  run(demand, 120, 3_600, () => 100);
  const late = demand.upperRps(settings, 1);
  expect(demand.levelRps).toBeCloseTo(100, 0);
  expect(early).toBeGreaterThan(late);
  expect(late).toBeGreaterThan(100);
  expect(late).toBeLessThan(160);
});

test('more risk needs less', () => {
  const demand = createPoolDemand();
  run(demand, 0, 3_600, wobbling);
  expect(demand.upperRps(settings, 2)).toBeLessThan(demand.upperRps(settings, 1));
  expect(demand.upperRps({ ...settings, risk: 0.01 }, 1)).toBeLessThan(demand.upperRps(settings, 1));
});

test('what was needed lately is remembered for as long as asked', () => {
  const demand = createPoolDemand();
  run(demand, 0, 1_800, (second) => (second > 1_700 && second <= 1_730 ? 400 : 100));
  expect(demand.heldUpperRps(120_000)).toBeGreaterThan(demand.heldUpperRps(6_000));
});

test('lateness makes it cautious, a quiet time bold', () => {
  const bold = createPoolDemand();
  const burnt = createPoolDemand();
  run(bold, 0, 40_000, wobbling, { readyRps: 1_000, wholePool: false });
  run(burnt, 0, 40_000, wobbling, { readyRps: 120, wholePool: false });
  expect(burnt.upperRps(settings, 1)).toBeGreaterThan(bold.upperRps(settings, 1));
});

test('what the whole pool could not serve teaches nothing', () => {
  const whole = createPoolDemand();
  const quiet = createPoolDemand();
  run(whole, 0, 4_000, wobbling, { readyRps: 50, wholePool: true });
  run(quiet, 0, 4_000, wobbling, { readyRps: 1_000, wholePool: false });
  expect(whole.upperRps(settings, 1)).toBeCloseTo(quiet.upperRps(settings, 1), 6);
});

test('a setup time that turns out otherwise keeps what is known of the load', () => {
  const demand = createPoolDemand();
  run(demand, 0, 3_600, wobbling);
  demand.advance(at(3_600), { ...settings, horizonMs: 200_000 });
  expect(demand.forecast?.horizonMs).toBe(200_000);
  expect(demand.levelRps).toBeGreaterThan(100);
  expect(demand.levelRps).toBeLessThan(140);
  demand.advance(at(3_600), { ...settings, horizonMs: 220_000 });
  expect(demand.forecast?.horizonMs).toBe(200_000);
});

test('a silence of all proxies is not taken for no load', () => {
  const demand = createPoolDemand();
  run(demand, 0, 1_800, () => 100);
  demand.advance(at(4_000), settings);
  expect(demand.levelRps).toBeGreaterThan(90);
  run(demand, 4_000, 4_060, () => 100);
  expect(demand.levelRps).toBeGreaterThan(90);
});

test('knows for how long nobody has come', () => {
  const demand = createPoolDemand();
  expect(demand.quietForMs(at(0))).toBe(Number.POSITIVE_INFINITY);
  run(demand, 0, 20, (second) => (second === 5 ? 1 : 0));
  expect(demand.quietForMs(at(20))).toBe(15_000);
});

test('whatever comes in, in whatever order, the demand is finite and not negative', () => {
  const number = fc.oneof(fc.nat(5_000), fc.constantFrom(Number.NaN, -1, 1e300, Number.POSITIVE_INFINITY));
  const sample = fc.record({
    proxy: fc.constantFrom('p1', 'p2'),
    timeMs: fc.oneof(fc.integer({ min: at(0), max: at(900) }), number),
    intervalMs: fc.oneof(fc.integer({ min: 1, max: 5_000 }), number),
    arrivals: number,
    inFlight: number,
    parked: number,
    stopping: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 40 }), (samples) => {
      const demand = createPoolDemand();
      for (const one of samples) {
        demand.observe(one);
        if (one.timeMs >= at(0) && one.timeMs <= at(900)) demand.advance(one.timeMs, settings);
      }
      demand.advance(at(1_000), settings);
      for (const rps of [demand.upperRps(settings, 1), demand.heldUpperRps(60_000), demand.levelRps]) {
        expect([rps, Number.isFinite(rps) && rps >= 0]).toEqual([rps, true]);
      }
    }),
    { numRuns: 60 },
  );
});

test.each([1e300, Number.POSITIVE_INFINITY, Number.NaN])(
  'a first sample over %d ms sets no time',
  (intervalMs) => {
    const demand = createPoolDemand();
    demand.observe({
      proxy: 'p1',
      timeMs: at(0),
      intervalMs,
      arrivals: 1,
      inFlight: 0,
      parked: 0,
      stopping: false,
    });
    expect(demand.quietForMs(at(0))).toBe(Number.POSITIVE_INFINITY);
    run(demand, 0, 60, () => 100);
    expect(demand.levelRps).toBeCloseTo(100, 0);
  },
);

test('a day replayed 480 times faster is forecast like the day itself', () => {
  const speed = 480;
  const upperOf = (factor: number) => {
    const demand = createPoolDemand();
    const seen = {
      ...settings,
      dayMs: settings.dayMs / factor,
      horizonMs: 240_000 / factor,
      sampleIntervalMs: 30_000 / factor,
    };
    for (let step = 1; step <= 2_880 * 2.2; step += 1) {
      const rps = 300 + 250 * Math.sin((step / 2_880) * 2 * Math.PI) + (wobbling(step) - 120);
      const { sampleIntervalMs: intervalMs } = seen;
      const counts = { arrivals: (rps * intervalMs) / 1_000, inFlight: 0, parked: 0, stopping: false };
      demand.observe({ proxy: 'p1', timeMs: startMs + step * intervalMs, intervalMs, ...counts });
      demand.advance(startMs + step * intervalMs, seen);
    }
    return { upperRps: demand.upperRps(seen, 1), levelRps: demand.levelRps };
  };
  const replayed = upperOf(speed);
  const real = upperOf(1);
  expect(replayed.upperRps).toBeCloseTo(real.upperRps, 3);
  expect(replayed.levelRps).toBeCloseTo(real.levelRps, 3);
});

test('the silence before anybody came teaches nothing', () => {
  const asked = createPoolDemand();
  run(asked, 3_600, 5_400, wobbling);
  const waited = createPoolDemand();
  run(waited, 0, 3_600, () => 0);
  expect(waited.levelRps).toBe(0);
  run(waited, 3_600, 5_400, wobbling);
  expect(waited.upperRps(settings, 1)).toBeCloseTo(asked.upperRps(settings, 1), 6);
  expect(waited.demand(at(5_400), settings).observedForMs).toBe(1_800_000);
});

describe('what was saved', () => {
  const revived = (demand: PoolDemand) => createPoolDemand(JSON.parse(JSON.stringify(demand.save())));
  const lived = (seconds: number) => {
    const demand = createPoolDemand();
    run(demand, 0, seconds, wobbling, { readyRps: 130, wholePool: false });
    return demand;
  };

  test.each([20, 60, 400, 7_300])('after %d s goes on as if nothing had been', (seconds) => {
    const first = lived(seconds);
    const second = revived(first);
    for (const demand of [first, second]) run(demand, seconds, seconds + 60, wobbling);
    expect(second.demand(at(seconds + 60), settings)).toEqual(first.demand(at(seconds + 60), settings));
    // Rates are kept to four digits.
    expect(second.levelRps / first.levelRps).toBeCloseTo(1, 3);
    expect(second.upperRps(settings, 1) / first.upperRps(settings, 1)).toBeCloseTo(1, 3);
    expect(second.heldUpperRps(600_000) / first.heldUpperRps(600_000)).toBeCloseTo(1, 3);
    expect(second.save()).toMatchObject({ boldness: first.save().boldness, meanRps: first.save().meanRps });
  });

  test('of a load that has since been silent does not count as known any more', () => {
    const later = revived(lived(7_200));
    run(later, 9_000, 9_060, wobbling);
    expect(later.demand(at(9_060), settings).observedForMs).toBe(60_000);
    expect(later.levelRps).toBeGreaterThan(50);
  });
});
