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
}

/**
 * The least loaded candidate by its capacity, the request to be sent included: the smallest
 * (in flight + 1) / capacity. Candidates at their limit are passed over. Among equals the `turn`-th, so that an
 * idle fleet is not all heaped on its first server. Allocates nothing: it runs for each request.
 * @param turn any non-negative integer, counted up by the caller from choice to choice.
 * @param limitOf requests that the candidate may have in flight; 0: it takes none.
 */
export function chooseLeastLoaded<C extends Candidate>(
  candidates: readonly C[],
  turn: number,
  limitOf: (candidate: C) => number,
): C | undefined {
  let lowest = Number.POSITIVE_INFINITY;
  let equals = 0;
  for (const candidate of candidates) {
    const load = loadOf(candidate, limitOf);
    if (load < lowest) {
      lowest = load;
      equals = 1;
    } else if (load === lowest) equals += 1;
  }
  let skip = turn % Math.max(1, equals);
  if (lowest === Number.POSITIVE_INFINITY) return undefined;
  for (const candidate of candidates) {
    if (loadOf(candidate, limitOf) !== lowest) continue;
    if (skip === 0) return candidate;
    skip -= 1;
  }
  return undefined;
}

function loadOf<C extends Candidate>(candidate: C, limitOf: (candidate: C) => number): number {
  if (candidate.inFlight >= limitOf(candidate)) return Number.POSITIVE_INFINITY;
  return (candidate.inFlight + 1) / candidate.capacityRps;
}

/** The capacity a server is weighed by, in requests/s: its own, by the share it wishes for. */
export function wishedCapacityRps(server: ServerState, capacityRps: number): number {
  return (capacityRps * (server.heartbeat?.weightPercent ?? 100)) / 100;
}

/** Requests at once that a server takes: the smaller of what is configured and what it says; undefined: no bound. */
export function inFlightLimit(server: ServerState, configured: number | undefined): number | undefined {
  const said = server.heartbeat?.maxInFlight;
  return said === undefined || configured === undefined ? (said ?? configured) : Math.min(said, configured);
}
