import { type Fleet, serverViewOf } from './fleet.ts';
import { censusOf, type Liveness } from './liveness.ts';
import type { SleepInProgress } from './server.ts';
import { validDecision } from './sleepPermission.ts';
import { wantedServers } from './wanted.ts';

/** What an agent sees on its own machine, just before it would put it to sleep. */
export interface LocalLook {
  /** Open connections to the port the server serves on; undefined: not readable. */
  readonly connections: number | undefined;
  /** Users logged in, where the policy minds them; undefined: not readable. */
  readonly users: number | undefined;
  /** Parts of the control plane that this machine can't reach, in words. */
  readonly unreachable: readonly string[];
}

/** The name of the driver that has machines switched off by their agents. */
export const agentDriver = 'agent';

/** The sleep that the history says was given to the server's agent to carry out; undefined: none is. */
export function sleepForAgent(fleet: Fleet, server: string): SleepInProgress | undefined {
  const { lifecycle, sleep } = serverViewOf(fleet, server)?.state ?? {};
  const isAttempted = lifecycle === 'stopping' && sleep !== undefined && sleep.attempt > 0;
  return isAttempted && sleep.driver === agentDriver && !sleep.attemptFailed ? sleep : undefined;
}

/**
 * Everything that forbids an agent to put its machine to sleep now, in words; empty: it may. The power service has
 * asked much of it before; the agent asks again with its own eyes, since it is the last who can. Fail awake: what is
 * missing, stale or contradictory forbids.
 */
export function agentSleepRefusals(
  fleet: Fleet,
  server: string,
  liveness: Liveness,
  look: LocalLook,
  nowMs: number,
): string[] {
  const view = serverViewOf(fleet, server);
  const bounds = fleet.config?.bounds;
  if (!view || !bounds) return ['the fleet does not know this server'];
  const sleep = sleepForAgent(fleet, server);
  if (!sleep) return ['the history holds no power-off for its agent'];
  const { state, pool } = view;
  const refusals: string[] = [];
  const decision = validDecision(fleet, state.pool, nowMs);
  if (!decision) refusals.push(`no decision of the planner within its lease of ${pool.planner.leaseMs} ms`);
  else if (!sleep.mend && wantedServers(fleet, state.pool, nowMs).servers.has(server)) {
    refusals.push('the decision, or the operator, wants it awake');
  }
  if (state.cordoned) refusals.push('it is cordoned');
  const { live, missing } = censusOf(liveness, bounds.proxyLeaseMs, bounds.proxyGoneMs, nowMs);
  if (live.length === 0) refusals.push('no proxy is heard');
  if (missing.length > 0) refusals.push(`proxies silent: ${missing.join(', ')}`);
  const undrained = live.filter((proxy) => (sleep.proxies[proxy] ?? 'draining') === 'draining');
  if (undrained.length > 0) refusals.push(`not drained by ${undrained.join(', ')}`);
  if (liveness.healthSeenMs === undefined || nowMs - liveness.healthSeenMs > bounds.healthLeaseMs) {
    refusals.push('the health service is silent');
  }
  return [...refusals, ...lookRefusals(sleep, look)];
}

function lookRefusals(sleep: SleepInProgress, look: LocalLook): string[] {
  const refusals = look.unreachable.map((what) => `can't be reached from here: ${what}`);
  // What a drain's time-out gave up may be cut; that was decided, and said, before.
  const drainTimedOut = Object.values(sleep.proxies).includes('timedOut');
  if (look.connections === undefined) refusals.push('its connections can not be read');
  else if (look.connections > 0 && !drainTimedOut) refusals.push(`${look.connections} connections are open`);
  if (look.users === undefined) refusals.push('who is logged in can not be read');
  else if (look.users > 0) refusals.push(`${look.users} users are logged in`);
  return refusals;
}
