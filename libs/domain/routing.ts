import type { ServerState } from './server.ts';

/** May new requests go to this server? Ready, healthy and not cordoned. */
export function takesRequests(server: ServerState): boolean {
  return server.lifecycle === 'ready' && server.health === 'healthy' && !server.cordoned;
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
