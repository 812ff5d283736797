import type { PoolConfig } from '../events/mod.ts';
import type { ServerState } from './server.ts';

/** Who asks, as far as it matters when no server is ready: a person looks, a program waits, a monitor must not wake. */
export type RequestClass = 'browser' | 'program' | 'monitor';

export interface AskedBy {
  readonly method: string;
  /** Path with query. */
  readonly target: string;
  readonly userAgent: string | undefined;
  readonly accept: string | undefined;
}

type MonitorRules = PoolConfig['parking']['monitors'];

/** A monitor by one of the pool's rules; a browser when it fetches a page (`Accept` names text/html); else a program. */
export function classOf(
  { method, target, userAgent, accept }: AskedBy,
  monitors: MonitorRules,
): RequestClass {
  const agent = userAgent?.toLowerCase();
  if (agent !== undefined && monitors.userAgents.some((part) => agent.includes(part.toLowerCase())))
    return 'monitor';
  const path = target.split('?', 1)[0] ?? '';
  if (monitors.paths.includes(path)) return 'monitor';
  return method === 'GET' && accept?.includes('text/html') ? 'browser' : 'program';
}

/**
 * How long until the first server of a pool is likely to serve: what the setups remembered took at the given
 * quantile, less what the wake that began first has taken already. Undefined: none is remembered.
 */
export function expectedReadyInMs(
  servers: readonly ServerState[],
  nowMs: number,
  quantile: number,
): number | undefined {
  const setups = servers.flatMap(({ setupTimesMs }) => setupTimesMs).sort((a, b) => a - b);
  const setupMs = setups[Math.min(setups.length - 1, Math.floor(quantile * setups.length))];
  if (setupMs === undefined) return undefined;
  const begun = servers.flatMap(({ lifecycle, wake }) =>
    lifecycle === 'waking' && wake ? [nowMs - wake.requestedAtMs] : [],
  );
  return Math.max(0, setupMs - Math.max(0, ...begun));
}
