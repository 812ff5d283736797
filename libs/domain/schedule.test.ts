import fc from 'fast-check';
import type { PlannerSchedule } from '../events/mod.ts';
import { isTimeZone, scheduledServers } from './schedule.ts';

const office: PlannerSchedule = {
  days: ['mon', 'tue', 'wed', 'thu', 'fri'],
  from: '08:00',
  to: '18:00',
  timeZone: 'Europe/Berlin',
  minServers: 3,
};
const leadMs = 300_000;
const at = (iso: string) => Date.parse(iso);
const servers = (iso: string, schedule = office, lead = 0) => scheduledServers([schedule], at(iso), lead);

test.each<[string, string, number]>([
  ['a Wednesday before it begins', '2026-01-14T06:59:59Z', 0],
  ['its first minute', '2026-01-14T07:00:00Z', 3],
  ['its last minute', '2026-01-14T16:59:59Z', 3],
  ['its end', '2026-01-14T17:00:00Z', 0],
  ['a Saturday', '2026-01-17T10:00:00Z', 0],
  ['the last day of a month', '2026-02-27T10:00:00Z', 3],
  ['29 February of a leap year, a Tuesday', '2028-02-29T10:00:00Z', 3],
  ['New Year’s Eve, a Thursday', '2026-12-31T16:59:00Z', 3],
  ['summer time: 08:00 is an hour earlier by UTC', '2026-07-01T06:00:00Z', 3],
  ['the Monday after the clocks went forward', '2026-03-30T06:00:00Z', 3],
  ['the Monday after they went back', '2026-10-26T06:59:00Z', 0],
])('%s', (_what, iso, expected) => {
  expect(servers(iso)).toBe(expected);
});

test('they are woken so early that they are ready when it begins', () => {
  expect(servers('2026-01-14T06:55:00Z', office, leadMs)).toBe(3);
  expect(servers('2026-01-14T06:54:59Z', office, leadMs)).toBe(0);
});

test('a time over midnight belongs to the day on which it begins', () => {
  const night: PlannerSchedule = { ...office, days: ['fri'], from: '22:00', to: '02:00', timeZone: 'UTC' };
  expect(servers('2026-01-16T22:00:00Z', night)).toBe(3);
  expect(servers('2026-01-17T01:59:00Z', night)).toBe(3);
  expect(servers('2026-01-17T02:00:00Z', night)).toBe(0);
  expect(servers('2026-01-16T01:00:00Z', night)).toBe(0);
});

test('an hour that the clocks skip is over when they have skipped it; one that comes twice counts twice', () => {
  const skipped: PlannerSchedule = { ...office, days: ['sun'], from: '02:00', to: '03:00' };
  expect(servers('2026-03-29T00:59:00Z', skipped)).toBe(0);
  expect(servers('2026-03-29T01:00:00Z', skipped)).toBe(0);
  expect(servers('2026-10-25T00:30:00Z', skipped)).toBe(3);
  expect(servers('2026-10-25T01:30:00Z', skipped)).toBe(3);
});

test('of several schedules the most counts', () => {
  expect(scheduledServers([office, { ...office, minServers: 5 }], at('2026-01-14T10:00:00Z'), 0)).toBe(5);
  expect(scheduledServers([], at('2026-01-14T10:00:00Z'), 0)).toBe(0);
});

test('knows a time zone from a typing error', () => {
  expect([isTimeZone('Asia/Tokyo'), isTimeZone('UTC'), isTimeZone('Europe/Berln')]).toEqual([
    true,
    true,
    false,
  ]);
});

test('at any time it is all or nothing, and a week has its hours', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), (nowMs) => {
      expect([0, 3]).toContain(scheduledServers([office], nowMs, 0));
    }),
  );
  const hours = Array.from({ length: 168 }, (_, hour) => at('2026-06-01T00:30:00Z') + hour * 3_600_000);
  expect(hours.filter((nowMs) => scheduledServers([office], nowMs, 0) > 0)).toHaveLength(50);
});
