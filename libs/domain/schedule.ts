import type { PlannerSchedule } from '../events/mod.ts';

/** Days as `Intl` writes them in English, in the order of a week that begins on Monday. */
const dayNames = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const configuredDays: Readonly<Record<PlannerSchedule['days'][number], (typeof dayNames)[number]>> = {
  mon: 'Mon',
  tue: 'Tue',
  wed: 'Wed',
  thu: 'Thu',
  fri: 'Fri',
  sat: 'Sat',
  sun: 'Sun',
};

/** Making a formatter costs far more than using it. */
const formatters = new Map<string, Intl.DateTimeFormat>();

/**
 * The servers that the schedules ask for at `nowMs` (epoch ms): the most that any of them wants. A server must be ready
 * when its time begins, so each schedule counts from `leadMs` before. Times are those of the schedule's own zone, so
 * that 08:00 stays 08:00 when the clocks change; an hour that is skipped counts as its end, one that comes twice counts
 * both times. A range may go over midnight: it belongs to the day on which it begins.
 */
export function scheduledServers(
  schedules: readonly PlannerSchedule[],
  nowMs: number,
  leadMs: number,
): number {
  let servers = 0;
  for (const schedule of schedules) {
    if (isWithin(schedule, nowMs) || isWithin(schedule, nowMs + leadMs))
      servers = Math.max(servers, schedule.minServers);
  }
  return servers;
}

function isWithin(schedule: PlannerSchedule, timeMs: number): boolean {
  const { day, minute } = localTime(timeMs, schedule.timeZone);
  const from = minutesOf(schedule.from);
  const to = minutesOf(schedule.to);
  const runsOn = (name: string) => schedule.days.some((configured) => configuredDays[configured] === name);
  if (from < to) return runsOn(day) && minute >= from && minute < to;
  const yesterday = dayNames[(dayNames.indexOf(day) + dayNames.length - 1) % dayNames.length] ?? day;
  return (runsOn(day) && minute >= from) || (runsOn(yesterday) && minute < to);
}

function localTime(timeMs: number, timeZone: string): { day: (typeof dayNames)[number]; minute: number } {
  let formatter = formatters.get(timeZone);
  if (!formatter) {
    const parts = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
    formatter = new Intl.DateTimeFormat('en-US', { timeZone, ...parts });
    formatters.set(timeZone, formatter);
  }
  const parts = new Map(formatter.formatToParts(timeMs).map(({ type, value }) => [type, value]));
  const day = dayNames.find((name) => name === parts.get('weekday')) ?? 'Mon';
  return { day, minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) };
}

function minutesOf(clock: string): number {
  const [hours = 0, minutes = 0] = clock.split(':').map(Number);
  return hours * 60 + minutes;
}

/** Whether this machine knows the time zone. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
