import type { RecordedEvent } from '../events/mod.ts';

/** What a stretch of history says of wakes, sleeps and fire drills. JSON all through. */
export interface WakeTally {
  readonly wakes: number;
  readonly overdue: number;
  readonly timedOut: number;
  readonly sleeps: number;
  readonly quarantines: number;
  readonly drifts: number;
  readonly mends: number;
  readonly drillsPassed: number;
  readonly drillsFailed: number;
  /** From the request to ready, in ms, in the order they ended. */
  readonly setupTimesMs: readonly number[];
  /** Wakes under way: when each was asked for. */
  readonly requestedAtMs: Readonly<Record<string, number>>;
}

export const emptyTally: WakeTally = {
  wakes: 0,
  overdue: 0,
  timedOut: 0,
  sleeps: 0,
  quarantines: 0,
  drifts: 0,
  mends: 0,
  drillsPassed: 0,
  drillsFailed: 0,
  setupTimesMs: [],
  requestedAtMs: {},
};

/** Counts one event in; what is not about wakes, sleeps or drills changes nothing. */
export function tally(known: WakeTally, event: RecordedEvent): WakeTally {
  switch (event.type) {
    case 'WakeRequested': {
      const requestedAtMs = { ...known.requestedAtMs, [event.data.server]: event.timeMs };
      return { ...known, wakes: known.wakes + 1, requestedAtMs };
    }
    case 'ServerBecameHealthy': {
      const { [event.data.server]: sinceMs, ...requestedAtMs } = known.requestedAtMs;
      if (sinceMs === undefined) return known;
      const setupTimesMs = [...known.setupTimesMs, Math.max(0, event.timeMs - sinceMs)];
      return { ...known, setupTimesMs, requestedAtMs };
    }
    case 'WakeTimedOut': {
      const { [event.data.server]: _ended, ...requestedAtMs } = known.requestedAtMs;
      return { ...known, timedOut: known.timedOut + 1, requestedAtMs };
    }
    case 'WakeOverdue':
      return { ...known, overdue: known.overdue + 1 };
    case 'SleepRequested':
      return event.data.mend ? { ...known, mends: known.mends + 1 } : known;
    case 'SleepVerified':
      return { ...known, sleeps: known.sleeps + 1 };
    case 'ServerQuarantined':
      return { ...known, quarantines: known.quarantines + 1 };
    case 'PowerDriftDetected':
      return { ...known, drifts: known.drifts + 1 };
    case 'DrillPassed':
      return { ...known, drillsPassed: known.drillsPassed + 1 };
    case 'DrillFailed':
      return { ...known, drillsFailed: known.drillsFailed + 1 };
    default:
      return known;
  }
}
