import type { Bounds } from '../events/mod.ts';
import { openContradictions } from './contradictions.ts';
import { type Fleet, floorOf, type ServerView } from './fleet.ts';
import { orderNow } from './hand.ts';
import { censusOf, type Liveness } from './liveness.ts';
import { poolFactsOf } from './poolFacts.ts';
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
  const order = orderNow(state, nowMs);
  if (order?.wants === 'awake') return [`${order.by} ordered it awake: ${order.reason}`];
  if (state.drills?.underWay) return ['a fire drill is under way'];
  const { target, notReadyOfTarget } = poolFactsOf(fleet, state.pool);
  if (order?.wants !== 'asleep' && target.has(state.name)) return ['the decision wants it awake'];
  if (fleet.pools[state.pool]?.paused) return ['the planner is paused'];
  const missing = notReadyOfTarget.filter((name) => name !== state.name);
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
  const { state, config } = server;
  const refusals: string[] = [];
  if (state.cordoned) refusals.push('it is cordoned');
  for (const name of openContradictions(state)) refusals.push(`its witnesses disagree: ${name}`);
  if (config.power.length === 0) refusals.push('it has no power method');
  if (state.powerState !== 'on') refusals.push(`its power state is ${state.powerState}`);
  refusals.push(...boundRefusals(server, bounds, nowMs).map(({ reason }) => reason));
  return fleet.config?.servers[state.name] ? refusals : [...refusals, 'it is not configured'];
}

/** The named bounds that forbid this server's sleep now, each with its reason in words. */
export function boundRefusals(
  { state, pool }: ServerView,
  bounds: Bounds,
  nowMs: number,
): { readonly bound: 'minAwakeMs' | 'maxCyclesPerDay' | 'quarantineMs'; readonly reason: string }[] {
  const { minAwakeMs } = pool.planner;
  const awakeMs = nowMs - (state.readyAtMs ?? state.sinceMs);
  const sleepsToday = withinDay(state.sleptAtMs, nowMs);
  const found: ReturnType<typeof boundRefusals> = [];
  if (state.lifecycle === 'ready' && awakeMs < minAwakeMs) {
    found.push({ bound: 'minAwakeMs', reason: `awake for ${awakeMs} ms of at least ${minAwakeMs} ms` });
  }
  if (sleepsToday >= bounds.maxCyclesPerDay) {
    const reason = `it slept ${sleepsToday} times in 24 h, the wear budget`;
    found.push({ bound: 'maxCyclesPerDay', reason });
  }
  const failed = state.failedSleeps;
  if (failed) {
    const restMs = Math.min(bounds.maxQuarantineMs, bounds.quarantineMs * 2 ** (failed.count - 1));
    const leftMs = failed.lastAtMs + restMs - nowMs;
    const reason = `it could not be switched off ${failed.count} times in a row; next try in ${leftMs} ms`;
    if (leftMs > 0) found.push({ bound: 'quarantineMs', reason });
  }
  return found;
}

function withinDay(timesMs: readonly number[], nowMs: number): number {
  return timesMs.filter((timeMs) => nowMs - timeMs < dayMs).length;
}

/**
 * Everything that forbids the power cycle of a server that is on and serves nothing, in words; empty: it may be
 * cycled. It takes no capacity away, so neither decision nor floor is asked; the witnesses are, and its own bound.
 */
export function mendRefusals(fleet: Fleet, server: ServerView, liveness: Liveness, nowMs: number): string[] {
  const bounds = fleet.config?.bounds;
  if (!bounds) return ['the fleet is not configured'];
  const { state, config } = server;
  const refusals = witnessRefusals(bounds, liveness, nowMs);
  if (state.cordoned) refusals.push('it is cordoned');
  if (config.power.length === 0) refusals.push('it has no power method');
  if (state.powerState !== 'on') refusals.push(`its power state is ${state.powerState}`);
  const isWell = state.health === 'healthy';
  if (isWell) refusals.push('it is healthy');
  const sickForMs = state.health === 'unhealthy' ? nowMs - (state.unhealthySinceMs ?? nowMs) : 0;
  if (!isWell && state.failedWakes === 0 && sickForMs < bounds.hungAfterMs) {
    refusals.push(`unhealthy for ${sickForMs} ms of at least ${bounds.hungAfterMs} ms`);
  }
  const spent = mendsSpent(server, bounds, nowMs);
  if (spent) refusals.push(spent);
  const other = poolFactsOf(fleet, state.pool).mending.find((name) => name !== state.name);
  if (other !== undefined) refusals.push(`${other} is being power-cycled`);
  return refusals;
}

function mendsSpent({ state }: ServerView, { maxMendsPerDay }: Bounds, nowMs: number): string | undefined {
  // A mend under way is counted itself.
  const mends = withinDay(state.mendedAtMs, nowMs) - (state.sleep?.mend ? 1 : 0);
  return mends >= maxMendsPerDay ? `it was power-cycled ${mends} times in 24 h` : undefined;
}

/** Is this server hung and not cycled any more, because it was so often enough? */
export function mendBound(server: ServerView, bounds: Bounds, nowMs: number) {
  const { health, unhealthySinceMs, powerState, lifecycle } = server.state;
  const isHung = health === 'unhealthy' && nowMs - (unhealthySinceMs ?? nowMs) >= bounds.hungAfterMs;
  if (!isHung || powerState !== 'on' || lifecycle !== 'ready') return undefined;
  const reason = mendsSpent(server, bounds, nowMs);
  return reason === undefined ? undefined : { bound: 'maxMendsPerDay', reason };
}

function floorRefusals(fleet: Fleet, { state, pool }: ServerView): string[] {
  const floor = floorOf(fleet, state.pool);
  const { servers, taking } = poolFactsOf(fleet, state.pool);
  const others = taking - (takesRequests(state) ? 1 : 0);
  const floorAndSpare = Math.min(floor + pool.spareServers, servers);
  // One that serves nothing takes nothing away, and off and on again may mend it. But when nobody else serves,
  // it may be the prober's network that is dead.
  const keep = state.health === 'healthy' ? floorAndSpare : Math.min(1, floorAndSpare);
  return others < keep ? [`${others} other servers ready, ${keep} must stay`] : [];
}
