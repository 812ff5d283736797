import { type Candidate, chooseLeastLoaded } from './routing.ts';

export type BalancingPolicy = 'leastLoaded' | 'powerOfTwo' | 'roundRobin' | 'hash' | 'pack';

/** A candidate with what the policies beside "least loaded" look at. */
export interface BalancedCandidate extends Candidate {
  /** Its latency now: the peak, decaying (`peakEwmaMs`); 0: nothing is known. */
  readonly latencyMs: number;
  /** Watts for one request/s at full load: the smaller, the more efficient. */
  readonly wattsPerRps: number;
  /** `hashOf` its name. */
  readonly nameHash: number;
}

export interface Choice {
  /** Counted up from choice to choice. */
  readonly turn: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** `hashOf` what the request is hashed by; undefined: it has no such thing, the least loaded takes it. */
  readonly keyHash: number | undefined;
  /** For `pack`: requests in flight up to which a server is filled. */
  readonly targetOf: (capacityRps: number) => number;
}

/** With bounded loads no server gets more than this many times its fair share (Mirrokni et al., 2016). */
const loadBound = 1.25;

/**
 * The server for the next request, by the pool's policy; undefined: none has room.
 * @param limitOf requests that a candidate may have in flight; 0: it takes none.
 */
export function chooseServer<C extends BalancedCandidate>(
  policy: BalancingPolicy,
  candidates: readonly C[],
  choice: Choice,
  limitOf: (candidate: C) => number,
): C | undefined {
  const least = () => chooseLeastLoaded(candidates, choice.turn, limitOf);
  if (policy === 'leastLoaded') return least();
  const open = candidates.filter((candidate) => candidate.inFlight < limitOf(candidate));
  if (open.length < 2) return open[0];
  switch (policy) {
    case 'roundRobin':
      return open[choice.turn % open.length];
    case 'powerOfTwo':
      return betterOfTwo(open, choice.random);
    case 'hash':
      return choice.keyHash === undefined ? least() : byHash(open, choice.keyHash);
    case 'pack':
      return firstBelowTarget(open, choice.targetOf) ?? least();
  }
}

/** Two at random, the better of them by latency × (in flight + 1) / capacity (Mitzenmacher 2001; Finagle's peak EWMA). */
function betterOfTwo<C extends BalancedCandidate>(open: readonly C[], random: () => number): C | undefined {
  const first = Math.floor(random() * open.length);
  const second = (first + 1 + Math.floor(random() * (open.length - 1))) % open.length;
  const [a, b] = [open[first], open[second]];
  if (!a || !b) return a ?? b;
  return costOf(b) < costOf(a) ? b : a;
}

function costOf({ latencyMs, inFlight, capacityRps }: BalancedCandidate): number {
  return (Math.max(1, latencyMs) * (inFlight + 1)) / capacityRps;
}

/**
 * Rendezvous hashing weighted by capacity, with bounded loads: each key has its own order of servers, and goes to the
 * first that has not more than its share. A server that comes or goes moves only its own keys.
 */
function byHash<C extends BalancedCandidate>(open: readonly C[], keyHash: number): C | undefined {
  let inFlight = 1;
  let capacity = 0;
  for (const candidate of open) {
    inFlight += candidate.inFlight;
    capacity += candidate.capacityRps;
  }
  let best: C | undefined;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const candidate of open) {
    const share = Math.ceil((loadBound * inFlight * candidate.capacityRps) / capacity);
    if (candidate.inFlight >= share) continue;
    // Uniform in (0, 1); −capacity / ln(u) makes the odds those of the capacities.
    const uniform = (mix(keyHash ^ candidate.nameHash) + 0.5) / 0x1_0000_0000;
    const score = -candidate.capacityRps / Math.log(uniform);
    if (score > bestScore) {
      best = candidate;
      bestScore = score;
    }
  }
  return best;
}

/** The most efficient server that is not yet at its target; the others stay idle and can sleep. */
function firstBelowTarget<C extends BalancedCandidate>(
  open: readonly C[],
  targetOf: (capacityRps: number) => number,
): C | undefined {
  let best: C | undefined;
  for (const candidate of open) {
    if (candidate.inFlight >= targetOf(candidate.capacityRps)) continue;
    if (!best || comesBefore(candidate, best)) best = candidate;
  }
  return best;
}

function comesBefore(a: BalancedCandidate, b: BalancedCandidate): boolean {
  return a.wattsPerRps < b.wattsPerRps || (a.wattsPerRps === b.wattsPerRps && a.name < b.name);
}

/** A 32-bit hash of a text (FNV-1a, mixed). */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return mix(hash);
}

/** The finalizer of MurmurHash3: each bit of the input moves half of those of the result. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const latencyHalfTimeMs = 5_000;

/** The next value of a latency that jumps up at once and comes down slowly (Finagle's peak EWMA). */
export function peakEwmaMs(beforeMs: number, latencyMs: number, elapsedMs: number): number {
  if (latencyMs >= beforeMs) return latencyMs;
  const keep = 0.5 ** (Math.max(0, elapsedMs) / latencyHalfTimeMs);
  return latencyMs + (beforeMs - latencyMs) * keep;
}

const slowStartSteps = 10;

/**
 * The share of its weight that a server has so long after it came back: from a tenth, in tenths, to the whole. In
 * steps, so that servers that came back together are equals.
 */
export function slowStartShare(sinceReturnMs: number, slowStartMs: number): number {
  if (sinceReturnMs >= slowStartMs) return 1;
  return Math.max(1, Math.floor((slowStartSteps * sinceReturnMs) / slowStartMs)) / slowStartSteps;
}

/** What is left of a pool's retries. */
export interface RetryBudget {
  readonly tokens: number;
  /** Epoch ms until when the tokens were let expire. */
  readonly sinceMs: number;
}

/** Below this many requests nothing can be said of a share: so many are there at the start, and do not expire. */
const leastRetries = 10;
export const fullRetryBudget: RetryBudget = { tokens: leastRetries, sinceMs: 0 };
/** Of those earned beyond, half are lost after this: the share is one of the last seconds' requests. */
const retryHalfTimeMs = 5_000;
const expiryStepMs = 1_000;

/** A request came: it earns its share of a retry. A server's death takes all that it had in flight at once: retries are saved for that. */
export function earnRetry(budget: RetryBudget, share: number, nowMs: number): RetryBudget {
  const elapsedMs = nowMs - budget.sinceMs;
  if (elapsedMs < expiryStepMs) return { tokens: budget.tokens + share, sinceMs: budget.sinceMs };
  const kept = Math.max(0, budget.tokens - leastRetries) * 0.5 ** (elapsedMs / retryHalfTimeMs);
  return { tokens: Math.min(budget.tokens, leastRetries) + kept + share, sinceMs: nowMs };
}

/** @returns the budget after one retry; undefined: there is none left, more would only feed the fire. */
export function spendRetry({ tokens, sinceMs }: RetryBudget): RetryBudget | undefined {
  return tokens < 1 ? undefined : { tokens: tokens - 1, sinceMs };
}
