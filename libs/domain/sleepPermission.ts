import type { Bounds } from '../events/mod.ts';
import { openContradictions } from './contradictions.ts';
import { type Fleet, floorOf, type ServerView, serversOfPool } from './fleet.ts';
import { censusOf, type Liveness } from './liveness.ts';
import { takesRequests } from './routing.ts';

const dayMs = 86_400_000;

/** The latest decision of a pool, if its lease still runs. One from further ahead than its lease is a wrong clock's. */
export function validDecision(fleet: Fleet, poolName: string, nowMs: number) {
  const decision = fleet.pools[poolName]?.decision;
  return decision && Math.abs(nowMs - decision.decidedAtMs) < decision.validForMs ? decision : undefined;
}

/**
 * Everything that forbids this server's sleep now, in words; empty: it may sleep. Asked before the drain and again
 * just before the power-off. Fail awake: what is missing, stale or contradictory forbids.
 */
export function sleepRefusals(fleet: Fleet, server: ServerView, liveness: Liveness, nowMs: number): string[] {
  const bounds = fleet.config?.bounds;
  if (!bounds) return ['the fleet is not configured'];
  return [
    ...decisionRefusals(fleet, server, nowMs),
    ...witnessRefusals(bounds, liveness, nowMs),
    ...serverRefusals(fleet, server, bounds, nowMs),
    ...floorRefusals(fleet, server),
  ];
}

function decisionRefusals(fleet: Fleet, { state, pool }: ServerView, nowMs: number): string[] {
  const decision = validDecision(fleet, state.pool, nowMs);
  if (!decision) return [`no decision of the planner within its lease of ${pool.planner.leaseMs} ms`];
  if (decision.target.includes(state.name)) return ['the decision wants it awake'];
  if (fleet.pools[state.pool]?.paused) return ['the planner is paused'];
  const missing = decision.target.filter((name) => {
    const other = fleet.servers[name];
    return !other || !takesRequests(other);
  });
  return missing.length > 0 ? [`not yet ready of the target: ${missing.join(', ')}`] : [];
}

function witnessRefusals(bounds: Bounds, liveness: Liveness, nowMs: number): string[] {
  const refusals: string[] = [];
  const census = censusOf(liveness, bounds.proxyLeaseMs, bounds.proxyGoneMs, nowMs);
  if (census.missing.length > 0) refusals.push(`proxies silent: ${census.missing.join(', ')}`);
  if (census.live.length === 0) refusals.push('no proxy is known');
  if (liveness.healthSeenMs === undefined || nowMs - liveness.healthSeenMs > bounds.healthLeaseMs) {
    refusals.push('the health service is silent');
  }
  return refusals;
}

function serverRefusals(fleet: Fleet, server: ServerView, bounds: Bounds, nowMs: number): string[] {
  const { state, config, pool } = server;
  const refusals: string[] = [];
  if (state.cordoned) refusals.push('it is cordoned');
  for (const name of openContradictions(state)) refusals.push(`its witnesses disagree: ${name}`);
  if (config.power.length === 0) refusals.push('it has no power method');
  if (state.powerState !== 'on') refusals.push(`its power state is ${state.powerState}`);
  const awakeMs = nowMs - (state.readyAtMs ?? state.sinceMs);
  if (state.lifecycle === 'ready' && awakeMs < pool.planner.minAwakeMs) {
    refusals.push(`awake for ${awakeMs} ms of at least ${pool.planner.minAwakeMs} ms`);
  }
  const sleepsToday = state.sleptAtMs.filter((timeMs) => nowMs - timeMs < dayMs).length;
  if (sleepsToday >= bounds.maxCyclesPerDay)
    refusals.push(`it slept ${sleepsToday} times in 24 h, the wear budget`);
  return fleet.config?.servers[state.name] ? refusals : [...refusals, 'it is not configured'];
}

function floorRefusals(fleet: Fleet, { state, pool }: ServerView): string[] {
  const floor = floorOf(fleet, state.pool);
  const others = serversOfPool(fleet, state.pool).filter(
    (other) => other.state.name !== state.name && takesRequests(other.state),
  ).length;
  const floorAndSpare = Math.min(floor + pool.spareServers, serversOfPool(fleet, state.pool).length);
  // One that serves nothing takes nothing away, and off and on again may mend it. But when nobody else serves,
  // it may be the prober's network that is dead.
  const keep = state.health === 'healthy' ? floorAndSpare : Math.min(1, floorAndSpare);
  return others < keep ? [`${others} other servers ready, ${keep} must stay`] : [];
}
