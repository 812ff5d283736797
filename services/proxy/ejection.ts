import type { PoolConfig } from '../../libs/events/mod.ts';

export interface EjectionCase {
  /** No connection came about; it failed again and again; or it let a request run out of time and answered nothing. */
  readonly why: 'unreachable' | 'failing' | 'silent';
  /** Servers of the pool that take requests by their state, this one included. */
  readonly takers: number;
  /** How many of the others are ejected now. */
  readonly ejected: number;
}

/**
 * Until when a server is given nothing new, in epoch ms; undefined: it stays. An ejection never empties a pool: one
 * that only fails stays when too many are away (Envoy's `max_ejection_percent`), and when none can be reached the
 * last is tried again soon; what waits meanwhile is parked.
 */
export function ejectedUntilMs(
  { why, takers, ejected }: EjectionCase,
  { forwarding, circuit }: Pick<PoolConfig, 'forwarding' | 'circuit'>,
  nowMs: number,
): number | undefined {
  const isLast = ejected + 1 >= takers;
  if (why === 'unreachable') {
    const { ejectMs } = forwarding;
    return nowMs + (isLast ? Math.min(ejectMs, circuit.lastServerRetryMs) : ejectMs);
  }
  const isTooMany = isLast || ejected + 1 > circuit.maxEjectedShare * takers;
  return isTooMany ? undefined : nowMs + forwarding.ejectMs;
}
