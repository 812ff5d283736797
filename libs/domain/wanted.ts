import type { DraftOf } from '../events/mod.ts';
import { type Fleet, floorOf, type ServerView, serversOfPool } from './fleet.ts';
import { orderNow } from './hand.ts';
import type { Wanted } from './powerAction.ts';
import { validDecision } from './sleepPermission.ts';

/**
 * The servers that shall be awake: those of the decision, but for the operator's orders. Without a decision within
 * its lease: the floor, and after `failAwakeAfterMs`, if the config says so, the whole pool (fail awake).
 */
export function wantedServers(fleet: Fleet, poolName: string, nowMs: number): Wanted {
  const decided = wantedByDecision(fleet, poolName, nowMs);
  const servers = new Set(decided.servers);
  const isDecided = validDecision(fleet, poolName, nowMs) !== undefined;
  for (const { state } of serversOfPool(fleet, poolName)) {
    const order = orderNow(state, nowMs);
    if (order?.wants === 'awake' && !state.cordoned) servers.add(state.name);
    if (order?.wants === 'asleep' && isDecided) servers.delete(state.name);
  }
  return { ...decided, servers };
}

function wantedByDecision(fleet: Fleet, poolName: string, nowMs: number): Wanted {
  const decision = validDecision(fleet, poolName, nowMs);
  if (decision) {
    const trace = decision.traceparent ? { traceparent: decision.traceparent } : {};
    return { servers: new Set(decision.target), reason: `decided: ${decision.reason}`, ...trace };
  }
  const pool = fleet.config?.pools[poolName];
  const lostForMs = undecidedForMs(fleet, poolName, nowMs);
  if (!pool || lostForMs === undefined) return { servers: new Set(), reason: 'no decision yet' };
  const whole = pool.failAwake === 'pool' && lostForMs >= pool.failAwakeAfterMs;
  return {
    servers: new Set(failAwakeServers(fleet, poolName, whole)),
    reason: `fail awake: no decision of the planner for ${lostForMs} ms past its lease`,
  };
}

/** For how long past its lease the pool has had no decision; undefined: there is one, or it is too early to say. */
function undecidedForMs(fleet: Fleet, poolName: string, nowMs: number): number | undefined {
  if (validDecision(fleet, poolName, nowMs)) return undefined;
  const latest = fleet.pools[poolName]?.decision;
  // A decision of a clock far ahead is no decision, whenever it says that its lease ends.
  if (latest) return Math.max(0, nowMs - latest.decidedAtMs - latest.validForMs);
  const lostForMs = nowMs - fleet.configuredAtMs - (fleet.config?.pools[poolName]?.planner.leaseMs ?? 0);
  return lostForMs < 0 ? undefined : lostForMs;
}

/** What to say of a pool that has come to be, or is no longer, without a decision; undefined: nothing new. */
export function failAwakeFact(fleet: Fleet, poolName: string, nowMs: number): DraftOf<FailAwake> | undefined {
  const sinceMs = fleet.pools[poolName]?.failAwakeSinceMs;
  const lostForMs = undecidedForMs(fleet, poolName, nowMs);
  if ((lostForMs === undefined) === (sinceMs === undefined)) return undefined;
  if (lostForMs === undefined) {
    const durationMs = Math.max(0, nowMs - (sinceMs ?? nowMs));
    return { type: 'FailAwakeEnded', data: { pool: poolName, durationMs } };
  }
  const { reason } = wantedByDecision(fleet, poolName, nowMs);
  return { type: 'FailAwakeStarted', data: { pool: poolName, cause: 'planner', lostForMs, reason } };
}
type FailAwake = 'FailAwakeStarted' | 'FailAwakeEnded';

/** The floor of a pool, those first that are awake already and those last that failed; or the whole pool. */
export function failAwakeServers(fleet: Fleet, poolName: string, whole: boolean): string[] {
  const servers = serversOfPool(fleet, poolName).filter(({ state }) => !state.cordoned);
  const awakeFirst = [...servers].sort((a, b) => distanceToServing(a) - distanceToServing(b));
  return awakeFirst
    .slice(0, whole ? servers.length : floorOf(fleet, poolName))
    .map(({ state }) => state.name);
}

function distanceToServing({ state }: ServerView): number {
  if (state.lifecycle === 'failed' || state.lifecycle === 'quarantined' || state.health === 'unhealthy')
    return 2;
  return state.lifecycle === 'ready' || state.lifecycle === 'waking' ? 0 : 1;
}
