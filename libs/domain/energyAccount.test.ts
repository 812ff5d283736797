import fc from 'fast-check';
import { addReading, emptyLedgerEntry, type MeterPoint } from './energy.ts';
import {
  accountedHours,
  addMeterReading,
  addRequests,
  closeAccount,
  type EnergyAccount,
  hourMs,
  openAccount,
} from './energyAccount.ts';
import { energyReport } from './energyReport.ts';
import { eventOf, fleetConfig, startMs } from './testing/builders.ts';
import { emptyTally, tally } from './wakeTally.ts';

const beginMs = 1_700_000 * hourMs;
const energyModel = { offWatts: 10, idleWatts: 100, busyWatts: 200 };
const config = fleetConfig({ servers: 2, server: { energy: energyModel } });
const at = (hours: number, powerWatts: number, measured = true): MeterPoint => ({
  timeMs: beginMs + hours * hourMs,
  powerWatts,
  measured,
});
function account(points: readonly MeterPoint[], closedToMs = 0, maxGapMs = 100 * hourMs): EnergyAccount {
  return points.reduce(
    (known, point) => addMeterReading(known, 's1', point, maxGapMs),
    openAccount(closedToMs),
  );
}
const whs = (known: EnergyAccount) =>
  accountedHours(known, 'web', config).map(({ servers }) => servers.s1?.energyWh);

test('by hand: from 100 to 200 W over two hours is 125 Wh and 175 Wh', () => {
  expect(whs(account([at(0, 100), at(2, 200)]))).toEqual([125, 175]);
});

test('a gap is bridged by its higher end, in every hour it spans, and counts as modelled', () => {
  const [first, second] = accountedHours(account([at(0.5, 10), at(1.5, 200)], 0, 60_000), 'web', config);
  expect(first?.servers.s1).toEqual({
    energyWh: 100,
    modelledWh: 100,
    gapMs: hourMs / 2,
    coveredMs: hourMs / 2,
  });
  expect(second?.servers.s1).toMatchObject({ energyWh: 100, gapMs: hourMs / 2 });
});

test('what is accounted for already is not counted again', () => {
  const readings = [at(0, 100), at(1.5, 100), at(2, 100)];
  expect(whs(account(readings, beginMs + hourMs))).toEqual([100]);
  expect(whs(closeAccount(account(readings), beginMs + hourMs))).toEqual([100]);
});

test('hours are handed out when they are over', () => {
  const known = account([at(0, 100), at(1.5, 100)]);
  const until = (hours: number) => accountedHours(known, 'web', config, beginMs + hours * hourMs).length;
  expect([until(0.99), until(1), until(2)]).toEqual([0, 1, 2]);
});

test('always on: the same requests on every server, for the time that is covered', () => {
  const both = addMeterReading(account([at(0, 50), at(1, 50)]), 's2', at(0, 10), hourMs);
  const metered = addMeterReading(both, 's2', at(1, 10), hourMs);
  // 100 requests/s of the 200 that both sustain: each half busy, 150 W.
  const served = addRequests(metered, beginMs + hourMs, 100 * 3_600);
  expect(accountedHours(served, 'web', config)).toMatchObject([{ requests: 360_000, alwaysOnWh: 300 }]);
});

test('parted into hours or not, the energy is the same', () => {
  const reading = fc.tuple(
    fc.integer({ min: 1, max: 3 * hourMs }),
    fc.integer({ min: 0, max: 500 }),
    fc.boolean(),
  );
  fc.assert(
    fc.property(fc.array(reading, { minLength: 2, maxLength: 30 }), (said) => {
      let timeMs = beginMs;
      const points = said.map(([afterMs, powerWatts, measured]) => {
        timeMs += afterMs;
        return { timeMs, powerWatts, measured };
      });
      const whole = points.reduce((entry, point) => addReading(entry, point, hourMs), emptyLedgerEntry);
      const hours = accountedHours(account(points, 0, hourMs), 'web', config);
      const sum = (key: 'energyWh' | 'modelledWh' | 'gapMs') =>
        hours.reduce((total, { servers }) => total + (servers.s1?.[key] ?? 0), 0);
      expect(sum('energyWh')).toBeCloseTo(whole.energyWh, 6);
      expect(sum('modelledWh')).toBeCloseTo(whole.modelledWh, 6);
      expect(sum('gapMs')).toBe(whole.gapMs);
      for (const { servers } of hours) expect(servers.s1?.coveredMs).toBeLessThanOrEqual(hourMs);
    }),
  );
});

describe('the report', () => {
  const hour = {
    pool: 'web',
    fromMs: beginMs,
    toMs: beginMs + hourMs,
    servers: {
      s1: { energyWh: 800, modelledWh: 0, gapMs: 0, coveredMs: hourMs },
      s2: { energyWh: 200, modelledWh: 200, gapMs: 1_000, coveredMs: hourMs },
    },
    requests: 3_600,
    alwaysOnWh: 2_000,
  };
  const costs = { ...config.costs, pricePerKwh: 0.3, co2GramsPerKwh: 400 };

  test('by hand: error bars, cost, CO2, joules per request and the modelled share', () => {
    expect(energyReport([hour], costs)).toMatchObject({
      energyKwh: 1,
      modelledShare: 0.2,
      errorKwh: expect.closeTo(0.8 * 0.02 + 0.2 * 0.15),
      alwaysOnKwh: 2,
      savedKwh: 1,
      savedErrorKwh: expect.closeTo(0.046 + 0.3),
      savedPercent: 50,
      requests: 3_600,
      joulesPerRequest: 1_000,
      cost: 0.3,
      co2Kg: 0.4,
      servers: { s1: { energyKwh: 0.8, modelledShare: 0 }, s2: { gapMs: 1_000, modelledShare: 1 } },
    });
  });

  test('hours add up; without a price there is no cost; of nothing there is nothing', () => {
    const later = { ...hour, fromMs: hour.toMs, toMs: hour.toMs + hourMs };
    expect(energyReport([hour, later], config.costs)).toMatchObject({
      fromMs: beginMs,
      toMs: beginMs + 2 * hourMs,
      energyKwh: 2,
      requests: 7_200,
      cost: undefined,
      co2Kg: undefined,
    });
    expect(energyReport([], costs)).toMatchObject({
      energyKwh: 0,
      fromMs: undefined,
      joulesPerRequest: undefined,
    });
  });
});

test('the tally of wakes keeps the setup times of those that became ready', () => {
  const events = [
    eventOf('WakeRequested'),
    eventOf('WakeOverdue'),
    eventOf('ServerBecameHealthy', {}, startMs + 120_000),
    eventOf('ServerBecameHealthy', {}, startMs + 130_000),
    eventOf('WakeRequested', {}, startMs + 200_000),
    eventOf('WakeTimedOut', {}, startMs + 300_000),
    eventOf('SleepRequested', { mend: true }),
    eventOf('DrillPassed'),
    eventOf('ServerEjected'),
  ];
  expect(events.reduce(tally, emptyTally)).toEqual({
    ...emptyTally,
    wakes: 2,
    overdue: 1,
    timedOut: 1,
    mends: 1,
    drillsPassed: 1,
    setupTimesMs: [120_000],
  });
});
