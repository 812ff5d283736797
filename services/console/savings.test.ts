import { draftOf, fleetConfig, minuteMs, recorded, sampleData } from '../../libs/domain/testing/builders.ts';
import { createSavingsBook } from './savings.ts';

const hourMs = 60 * minuteMs;
const beginMs = Math.floor(1_700_000_000_000 / hourMs) * hourMs;
const base = fleetConfig({ servers: 2 });
const config = { ...base, costs: { ...base.costs, pricePerKwh: 0.5 } };
const meter = (server: string, powerWatts: number, timeMs: number) =>
  recorded(draftOf('PowerMetered', { server, powerWatts }), timeMs);
const hour = (fromMs: number, energyWh: number, alwaysOnWh: number) => ({
  ...sampleData.EnergyAccounted,
  fromMs,
  toMs: fromMs + hourMs,
  alwaysOnWh,
  servers: {
    s1: { energyWh, modelledWh: 0, gapMs: 0, coveredMs: hourMs },
    s2: { energyWh, modelledWh: 0, gapMs: 0, coveredMs: hourMs },
  },
});

test('hours of the history and the hour under way add up, and an hour counts once', () => {
  const book = createSavingsBook();
  for (const server of ['s1', 's2']) {
    book.telemetryEvent(meter(server, 100, beginMs), minuteMs);
    book.telemetryEvent(meter(server, 100, beginMs + minuteMs), minuteMs);
  }
  const open = book.since(0, config);
  expect(open.energyKwh).toBeCloseTo((2 * 100) / 60 / 1_000, 6);
  book.accounted(hour(beginMs, 100, 500));
  const closed = book.since(0, config);
  expect(closed.energyKwh).toBeCloseTo(0.2, 6);
  expect(closed.savedKwh).toBeCloseTo(0.3, 6);
  expect(closed.savedCost).toBeCloseTo(0.15, 6);
  expect(closed).not.toHaveProperty('servers');
});

test('only what ended since then counts', () => {
  const book = createSavingsBook();
  book.accounted(hour(beginMs, 100, 500));
  book.accounted(hour(beginMs + hourMs, 50, 500));
  expect(book.since(beginMs + hourMs, config).energyKwh).toBeCloseTo(0.1, 6);
  expect(book.since(beginMs + hourMs - 1, config).energyKwh).toBeCloseTo(0.3, 6);
});

test('hours by pool, as means over the time that their meters cover', () => {
  const book = createSavingsBook();
  book.accounted({ ...hour(beginMs, 100, 500), requests: 7_200 });
  for (let minute = 60; minute <= 90; minute += 1) {
    for (const server of ['s1', 's2'])
      book.telemetryEvent(meter(server, 100, beginMs + minute * minuteMs), minuteMs);
    if (minute === 60) continue;
    const sample = draftOf('LoadSampled', { completed: 600, intervalMs: minuteMs });
    book.telemetryEvent(recorded(sample, beginMs + minute * minuteMs), minuteMs);
  }
  const { web } = book.hoursSince(beginMs, config);
  const [closed, open] = web ?? [];
  expect(closed).toEqual([beginMs / 1_000, 2, 200, 500]);
  expect(open?.slice(0, 3)).toEqual([beginMs / 1_000 + 3_600, 10, 200]);
  expect(open?.[3]).toBeGreaterThan(200);
  expect(book.hoursSince(beginMs + hourMs, config).web).toHaveLength(1);
});

test('a month and no more is kept', () => {
  const book = createSavingsBook();
  book.accounted(hour(beginMs, 100, 500));
  book.accounted(hour(beginMs + 32 * 24 * hourMs, 100, 500));
  expect(book.since(0, config).energyKwh).toBeCloseTo(0.2, 6);
});
