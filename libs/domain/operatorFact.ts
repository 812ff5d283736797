import type { EventDraft } from '../events/mod.ts';
import { type Fleet, serverViewOf } from './fleet.ts';

export const serverVerbs = ['cordon', 'uncordon', 'wake', 'sleep', 'drill'] as const;
export const poolVerbs = ['pin', 'unpin', 'pause', 'resume'] as const;
export type ServerVerb = (typeof serverVerbs)[number];
export type PoolVerb = (typeof poolVerbs)[number];

/** How long an order holds when nothing else is said. */
export const defaultOrderMs = 3_600_000;

/** What every fact of the operator's hand carries. */
export interface HandSaid {
  readonly reason: string;
  readonly by: string;
}

/** How long it holds: an order for `defaultOrderMs` where nothing is said, a cordon until it is ended. */
export interface HandTime {
  readonly nowMs: number;
  readonly forMs?: number | undefined;
}

/** The fact that the operator's hand on one server is. */
export function serverFact(verb: ServerVerb, server: string, said: HandSaid, time: HandTime): EventDraft {
  const { reason, by } = said;
  const untilMs = time.nowMs + (time.forMs ?? defaultOrderMs);
  switch (verb) {
    case 'cordon':
      return {
        type: 'ServerCordoned',
        data: { server, ...(time.forMs === undefined ? {} : { untilMs }), reason, by },
      };
    case 'uncordon':
      return { type: 'ServerUncordoned', data: { server, reason, by } };
    case 'wake':
      return { type: 'WakeOrdered', data: { server, untilMs, reason, by } };
    case 'sleep':
      return { type: 'SleepOrdered', data: { server, untilMs, reason, by } };
    case 'drill':
      return { type: 'DrillRequested', data: { server, untilMs, reason, by } };
  }
}

/** The fact that the operator's hand on one pool is; `servers` is of `pin`. */
export function poolFact(verb: PoolVerb, pool: string, { reason, by }: HandSaid, servers = 0): EventDraft {
  switch (verb) {
    case 'pin':
      return { type: 'TargetPinned', data: { pool, servers, reason, by } };
    case 'unpin':
      return { type: 'TargetUnpinned', data: { pool, reason, by } };
    case 'pause':
      return { type: 'PlannerPaused', data: { pool, reason, by } };
    case 'resume':
      return { type: 'PlannerResumed', data: { pool, reason, by } };
  }
}

/** Why this can't be asked of this server; undefined: it can. */
export function serverHandRefusal(fleet: Fleet, verb: ServerVerb, server: string): string | undefined {
  const view = serverViewOf(fleet, server);
  if (!view) return `there is no server ${server}; there are ${Object.keys(fleet.servers).join(', ')}`;
  const { lifecycle } = view.state;
  return verb === 'drill' && lifecycle !== 'asleep' ? `${server} is not asleep but ${lifecycle}` : undefined;
}

/** Why this can't be asked of this pool; undefined: it can. */
export function poolHandRefusal(fleet: Fleet, pool: string): string | undefined {
  if (Object.hasOwn(fleet.pools, pool)) return undefined;
  return `there is no pool ${pool}; there are ${Object.keys(fleet.pools).join(', ')}`;
}
