import fc from 'fast-check';
import {
  addReading,
  alwaysOnWatts,
  breakEvenMs,
  emptyLedgerEntry,
  type MeterPoint,
  modelledWatts,
  savedPercent,
} from './energy.ts';

const energy = { offWatts: 10, idleWatts: 140, busyWatts: 200, setupWatts: 200, setupTimeMs: 260_000 };
const hourMs = 3_600_000;

function ledger(points: readonly MeterPoint[], maxGapMs = hourMs) {
  return points.reduce((entry, point) => addReading(entry, point, maxGapMs), emptyLedgerEntry);
}
const at = (timeMs: number, powerWatts: number, measured = true): MeterPoint => ({
  timeMs,
  powerWatts,
  measured,
});

describe('break-even', () => {
  test('by hand: 260 s at 190 W above off, repaid at 130 W saved, takes 380 s', () => {
    expect(breakEvenMs(energy)).toBe(380_000);
  });

  test('asleep for exactly that long, a server used as much as one left on', () => {
    const asleepWs = (breakEvenMs(energy) - 260_000) * 10 + 260_000 * 200;
    expect(asleepWs).toBe(breakEvenMs(energy) * 140);
  });

  test('never shorter than the wake itself, and endless where sleep saves nothing', () => {
    expect(breakEvenMs({ ...energy, setupWatts: 20 })).toBe(260_000);
    expect(breakEvenMs(energy, 26_000)).toBe(38_000);
    expect(breakEvenMs({ ...energy, idleWatts: 10 })).toBe(Number.POSITIVE_INFINITY);
  });
});

test('watts rise with utilization between idle and busy', () => {
  expect([-1, 0, 0.5, 1, 7].map((share) => modelledWatts(energy, share))).toEqual([140, 140, 170, 200, 200]);
});

test('all servers on share the demand by capacity', () => {
  const servers = [
    { energy, capacityRps: 100 },
    { energy, capacityRps: 300 },
  ];
  expect(alwaysOnWatts(servers, 200)).toBe(340);
  expect(alwaysOnWatts([], 200)).toBe(0);
});

test('the saving in percent', () => {
  expect([savedPercent(25, 100), savedPercent(150, 100), savedPercent(1, 0)]).toEqual([75, -50, 0]);
});

describe('the ledger', () => {
  test('by hand: half an hour from 100 to 200 W, half an hour at 200 W', () => {
    const entry = ledger([at(0, 100), at(hourMs / 2, 200), at(hourMs, 200)]);
    expect(entry).toEqual({ last: at(hourMs, 200), energyWh: 175, modelledWh: 0, gapMs: 0 });
  });

  test('a gap takes the higher end and counts as modelled', () => {
    const entry = ledger([at(0, 10), at(hourMs, 140)], hourMs - 1);
    expect(entry).toMatchObject({ energyWh: 140, modelledWh: 140, gapMs: hourMs });
    expect(ledger([at(0, 140), at(hourMs, 10)], hourMs - 1).energyWh).toBe(140);
  });

  test('what rests on a model at either end counts as modelled', () => {
    const entry = ledger([at(0, 100), at(hourMs, 100, false), at(2 * hourMs, 100), at(3 * hourMs, 100)]);
    expect(entry).toMatchObject({ energyWh: 300, modelledWh: 200 });
  });

  test('a reading that is not after the last is ignored', () => {
    const entry = ledger([at(0, 100), at(1_000, 100)]);
    expect(addReading(entry, at(1_000, 999), hourMs)).toBe(entry);
    expect(addReading(entry, at(500, 999), hourMs)).toBe(entry);
  });

  const point = fc.record({
    timeMs: fc.nat(10 * hourMs),
    powerWatts: fc.nat(1_000),
    measured: fc.boolean(),
  });

  test('is never negative, never shrinks, and models no more than all', () => {
    fc.assert(
      fc.property(fc.array(point), fc.nat(hourMs), (points, maxGapMs) => {
        let entry = emptyLedgerEntry;
        for (const next of points) {
          const before = entry;
          entry = addReading(before, next, maxGapMs);
          expect(entry.energyWh).toBeGreaterThanOrEqual(before.energyWh);
          expect(entry.gapMs).toBeGreaterThanOrEqual(before.gapMs);
          expect(entry.modelledWh).toBeLessThanOrEqual(entry.energyWh + 1e-9);
        }
      }),
    );
  });

  test('is additive: cut anywhere, the parts add up to the whole', () => {
    fc.assert(
      fc.property(fc.array(point, { minLength: 1 }), fc.nat(), (points, cutAt) => {
        const sorted = [...points].sort((a, b) => a.timeMs - b.timeMs);
        const distinct = sorted.filter((one, index) => one.timeMs !== sorted[index - 1]?.timeMs);
        const cut = cutAt % distinct.length;
        const parts = [distinct.slice(0, cut + 1), distinct.slice(cut)].map((part) => ledger(part));
        const sum = parts.reduce((total, { energyWh }) => total + energyWh, 0);
        expect(ledger(distinct).energyWh).toBeCloseTo(sum, 6);
      }),
    );
  });
});
