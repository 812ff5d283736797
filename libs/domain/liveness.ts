import type { RecordedEvent } from '../events/mod.ts';

/**
 * When each proxy and the health service were last heard of: epoch ms by the clock of the stream, which is one for all;
 * that of a proxy may be wrong. JSON all through.
 */
export interface Liveness {
  readonly proxies: Readonly<Record<string, { readonly lastSeenMs: number; readonly stopped: boolean }>>;
  readonly healthSeenMs: number | undefined;
}

export const nobodySeen: Liveness = { proxies: {}, healthSeenMs: undefined };

/** A proxy's sample is its sign of life; its last one, with `stopped`, its good-bye. */
export function proxySeen(liveness: Liveness, proxy: string, timeMs: number, stopped: boolean): Liveness {
  const known = liveness.proxies[proxy];
  if (known && (known.lastSeenMs > timeMs || (known.lastSeenMs === timeMs && known.stopped === stopped)))
    return liveness;
  return { ...liveness, proxies: { ...liveness.proxies, [proxy]: { lastSeenMs: timeMs, stopped } } };
}

export function healthSeen(liveness: Liveness, timeMs: number): Liveness {
  return { ...liveness, healthSeenMs: Math.max(liveness.healthSeenMs ?? 0, timeMs) };
}

/** What an event of the telemetry says of who lives. */
export function witness(liveness: Liveness, event: RecordedEvent): Liveness {
  if (event.type === 'LoadSampled')
    return proxySeen(liveness, event.data.proxy, event.storedMs, event.data.stopping);
  return event.type === 'ProbesSampled' ? healthSeen(liveness, event.storedMs) : liveness;
}

export interface ProxyCensus {
  /** Must be asked before a server sleeps. */
  readonly live: readonly string[];
  /** Silent past the lease, not said good-bye, not yet given up: may still send requests, so nothing sleeps. */
  readonly missing: readonly string[];
}

export function censusOf(liveness: Liveness, leaseMs: number, goneMs: number, nowMs: number): ProxyCensus {
  const live: string[] = [];
  const missing: string[] = [];
  for (const [name, { lastSeenMs, stopped }] of Object.entries(liveness.proxies)) {
    const silentMs = nowMs - lastSeenMs;
    if (stopped || silentMs > goneMs) continue;
    (silentMs <= leaseMs ? live : missing).push(name);
  }
  return { live, missing };
}
