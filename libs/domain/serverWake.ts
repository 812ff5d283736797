import type { RecordedEvent } from '../events/mod.ts';
import type { ServerState } from './server.ts';
import { acted, enter, trace } from './serverFold.ts';
import { recordWake } from './wakeRecord.ts';
import { without } from './without.ts';

/** Folds the facts of a wake into a server's state. */
export function evolveWake(server: ServerState, event: RecordedEvent): ServerState {
  const { wake } = server;
  switch (event.type) {
    case 'WakeRequested': {
      // What serves already is awake: health was quicker than the power service. A repeated fact says nothing new.
      const serves = server.lifecycle === 'ready' && server.health === 'healthy';
      if (serves || wake?.wakeId === event.data.wakeId) return server;
      const base = enter(
        without(server, 'sleep', 'quarantinedUntilMs', 'ejectedUntilMs', 'readyAtMs'),
        'waking',
        event.timeMs,
      );
      const started = {
        wakeId: event.data.wakeId,
        requestedAtMs: event.timeMs,
        reason: event.data.reason,
        rung: 0,
        attempt: 0,
        attemptedAtMs: event.timeMs,
        attemptFailed: false,
        ...trace(event),
      };
      return { ...base, sinceMs: event.timeMs, health: 'unknown', wake: started };
    }
    case 'WakeAttempted': {
      if (wake?.wakeId !== event.data.wakeId) return server;
      const { rung, attempt } = event.data;
      return {
        ...acted(server, event.timeMs),
        wake: {
          ...wake,
          rung,
          attempt,
          attemptedAtMs: event.timeMs,
          rungStartedAtMs: attempt === 1 ? event.timeMs : (wake.rungStartedAtMs ?? event.timeMs),
          attemptFailed: false,
        },
      };
    }
    case 'WakeAttemptFailed':
      return wake?.wakeId === event.data.wakeId
        ? { ...server, wake: { ...wake, attemptFailed: true } }
        : server;
    case 'WakeOverdue':
      if (wake?.wakeId !== event.data.wakeId || wake.overdueAtMs !== undefined) return server;
      return { ...server, wake: { ...wake, overdueAtMs: event.timeMs } };
    case 'WakeTimedOut':
      if (wake?.wakeId !== event.data.wakeId) return server;
      return {
        ...enter(without(server, 'wake'), 'failed', event.timeMs),
        // Whoever answered while the hardware said off is asked no more from here on, and may be dead when it says on.
        health: 'unknown',
        failedWakes: server.failedWakes + 1,
        wakeRecord: recordWake(server.wakeRecord, false),
      };
    case 'ServerQuarantined':
      // It may have come back to ready in the meantime.
      if (server.lifecycle !== 'failed' && server.lifecycle !== 'quarantined') return server;
      return {
        ...enter(without(server, 'wake'), 'quarantined', event.timeMs),
        quarantinedUntilMs: event.data.untilMs,
      };
    default:
      return server;
  }
}
