import { isInStorm } from './contradictions.ts';
import { isWithdrawn } from './heartbeat.ts';
import type { ServerState } from './server.ts';

/** May new requests go to this server? Ready, healthy, not cordoned, and not withdrawn by its own word. */
export function takesRequests(server: ServerState): boolean {
  const serves = server.lifecycle === 'ready' && server.health === 'healthy';
  return serves && !server.cordoned && !isWithdrawn(server) && !isInStorm(server);
}

/** What a proxy knows of a server when it has to choose one. */
export interface Candidate {
  readonly name: string;
  /** Requests/s it sustains: its weight. */
  readonly capacityRps: number;
  readonly inFlight: number;
  /** Requests at once; more wait. */
  readonly maxInFlight?: number;
}

/**
 * The least loaded candidate by its capacity, the request to be sent included: the smallest
 * (in flight + 1) / capacity. Candidates at their limit are passed over. Among equals the `turn`-th, so that an
 * idle fleet is not all heaped on its first server.
 * @param turn any non-negative integer, counted up by the caller from choice to choice.
 */
export function chooseLeastLoaded<C extends Candidate>(
  candidates: readonly C[],
  turn: number,
): C | undefined {
  let best: C[] = [];
  let bestLoad = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    if (candidate.maxInFlight !== undefined && candidate.inFlight >= candidate.maxInFlight) continue;
    const load = (candidate.inFlight + 1) / candidate.capacityRps;
    if (load < bestLoad) {
      best = [candidate];
      bestLoad = load;
    } else if (load === bestLoad) {
      best.push(candidate);
    }
  }
  return best[turn % best.length];
}

/** What a server that has just come back is loaded with at first, as a share of its capacity. */
const firstShare = 0.1;

/**
 * The capacity a server is weighed by now, in requests/s: its own, by the share it wishes for, and in the first
 * `slowStartMs` since it became healthy a share that rises in a straight line. Cold caches and connections would
 * make it slow just when all the world is sent there.
 */
export function weighedCapacityRps(
  server: ServerState,
  capacityRps: number,
  slowStartMs: number,
  nowMs: number,
): number {
  const wished = (capacityRps * (server.heartbeat?.weightPercent ?? 100)) / 100;
  const { healthyAtMs } = server;
  const sinceMs = healthyAtMs === undefined ? slowStartMs : Math.max(0, nowMs - healthyAtMs);
  if (sinceMs >= slowStartMs) return wished;
  return wished * (firstShare + (1 - firstShare) * (sinceMs / slowStartMs));
}

/** Requests at once that a server takes: the smaller of what is configured and what it says; undefined: no bound. */
export function inFlightLimit(server: ServerState, configured: number | undefined): number | undefined {
  const said = server.heartbeat?.maxInFlight;
  return said === undefined || configured === undefined ? (said ?? configured) : Math.min(said, configured);
}
