import type { RecordedEvent } from '../events/mod.ts';
import type { ServerState } from './server.ts';
import { without } from './without.ts';

/** The operator's flag on a server: no new requests, and its power is left alone. */
export interface Cordon {
  /** Epoch ms of its end; without: until it is uncordoned. */
  readonly untilMs?: number;
  readonly reason: string;
  readonly by: string;
}

/** What the operator wants of one server's power for a while. */
export interface Order {
  readonly wants: 'awake' | 'asleep';
  readonly untilMs: number;
  readonly reason: string;
  readonly by: string;
}

/** The fire drills of one server. */
export interface Drills {
  readonly requested?: { readonly untilMs: number; readonly reason: string };
  readonly underWay?: { readonly drillId: string; readonly startedAtMs: number };
  /** It failed its last drill and has not served since: it is no capacity. */
  readonly failedAtMs?: number;
  readonly lastAtMs?: number;
  readonly passed: number;
  readonly failed: number;
}

const noDrills: Drills = { passed: 0, failed: 0 };

/** Folds the operator's cordons and orders and the fire drills into a server's state. */
export function evolveHand(server: ServerState, event: RecordedEvent): ServerState {
  const drills = server.drills ?? noDrills;
  switch (event.type) {
    case 'ServerCordoned': {
      const { server: _about, ...cordon } = event.data;
      return { ...server, cordoned: true, cordon };
    }
    case 'ServerUncordoned':
      return uncordoned(server);
    case 'CordonExpired':
      // Another cordon may have replaced it by then.
      return server.cordon?.untilMs === event.data.untilMs ? uncordoned(server) : server;
    case 'WakeOrdered':
    case 'SleepOrdered': {
      const { untilMs, reason, by } = event.data;
      const wants = event.type === 'WakeOrdered' ? 'awake' : 'asleep';
      return { ...server, order: { wants, untilMs, reason, by } };
    }
    case 'DrillRequested': {
      const { untilMs, reason } = event.data;
      return { ...server, drills: { ...drills, requested: { untilMs, reason } } };
    }
    case 'DrillStarted': {
      const underWay = { drillId: event.data.drillId, startedAtMs: event.timeMs };
      return { ...server, drills: { ...without(drills, 'requested'), underWay, lastAtMs: event.timeMs } };
    }
    case 'DrillPassed': {
      if (drills.underWay?.drillId !== event.data.drillId) return server;
      const rest = without(drills, 'underWay', 'failedAtMs');
      return { ...server, drills: { ...rest, lastAtMs: event.timeMs, passed: drills.passed + 1 } };
    }
    case 'DrillFailed': {
      if (drills.underWay?.drillId !== event.data.drillId) return server;
      const rest = without(drills, 'underWay');
      const failedAtMs = event.timeMs;
      return { ...server, drills: { ...rest, failedAtMs, lastAtMs: failedAtMs, failed: drills.failed + 1 } };
    }
    case 'ServerBecameHealthy': {
      // It serves: whatever the drill said is refuted.
      if (drills.failedAtMs === undefined || server.lifecycle !== 'ready') return server;
      return { ...server, drills: without(drills, 'failedAtMs') };
    }
    default:
      return server;
  }
}

function uncordoned(server: ServerState): ServerState {
  return { ...without(server, 'cordon'), cordoned: false };
}

/** The cordon alone of a server, for one that is looked at anew. */
export function cordonOf({ cordoned, cordon }: ServerState): Pick<ServerState, 'cordoned' | 'cordon'> {
  return { cordoned, ...(cordon ? { cordon } : {}) };
}

/** The end, in epoch ms, of a cordon whose time is over and that nobody has ended yet; undefined: there is none. */
export function expiredCordonMs({ cordon }: ServerState, nowMs: number): number | undefined {
  const { untilMs } = cordon ?? {};
  return untilMs !== undefined && nowMs >= untilMs ? untilMs : undefined;
}

/** The operator's order that still holds. */
export function orderNow({ order }: ServerState, nowMs: number): Order | undefined {
  return order && nowMs < order.untilMs ? order : undefined;
}

/** Did it fail its last fire drill, and has it not served since? Then it may be woken, but is no capacity. */
export function failedItsDrill({ drills }: ServerState): boolean {
  return drills?.failedAtMs !== undefined;
}
