import fc from 'fast-check';
import { failureShare, recordWake, type WakeRecord, withReserve } from './wakeRecord.ts';

const recordOf = (outcomes: readonly boolean[]) =>
  outcomes.reduce<WakeRecord | undefined>((known, worked) => recordWake(known, worked), undefined);

test('a pool that nothing is known of is taken to lose a wake in 500', () => {
  expect(failureShare([])).toBeCloseTo(0.002);
});

test('the share follows what happened, and the last wakes count most', () => {
  const fine = recordOf(Array.from({ length: 200 }, () => true)) as WakeRecord;
  const broken = recordOf([...Array.from({ length: 200 }, () => true), false, false, false]) as WakeRecord;
  expect(failureShare([fine])).toBeLessThan(0.025);
  expect(failureShare([fine, fine, fine, fine])).toBeLessThan(failureShare([fine]));
  expect(failureShare([broken])).toBeGreaterThan(failureShare([fine]));
  const mended = recordOf([false, false, false, ...Array.from({ length: 200 }, () => true)]) as WakeRecord;
  expect(failureShare([mended])).toBeLessThan(failureShare([broken]));
});

const accepted = { factor: 0.001, risk: 1 };
const load = (factor: number) => 100 - 20 * Math.log10(Math.min(1, factor));

test.each([
  { waking: 0, failureShare: 0.5, expected: 160 },
  { waking: 1, failureShare: 0, expected: 160 },
  // One wake in ten is lost: without it, a hundredth is exceeded often enough to matter.
  { waking: 1, failureShare: 0.1, expected: load(0.001 / 0.1) + 60 },
  // Of three, one is lost with 30 %, two with 2 %, all with less than 0.1 %, which is accepted.
  { waking: 3, failureShare: 0.09, expected: load(0.001 / (3 * 0.09 ** 2)) + 120 },
])('$waking waking, of which $failureShare fail: $expected requests/s', (row) => {
  const needed = withReserve(load, accepted, { ...row, wakingRps: 60 });
  expect(needed).toBeCloseTo(row.expected);
});

test('never less than without failures, and never less when more wakes fail', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.nat(50), share, share, (waking, a, b) => {
      const needed = (failures: number) =>
        withReserve(load, accepted, { waking, wakingRps: 60, failureShare: failures });
      expect(needed(a)).toBeGreaterThanOrEqual(load(0.001));
      expect(needed(Math.max(a, b))).toBeGreaterThanOrEqual(needed(Math.min(a, b)) - 1e-9);
    }),
  );
});
