import { type Fleet, serversOfPool } from './fleet.ts';
import { takesRequests } from './routing.ts';

/** What the rules that look at a server ask of its pool as a whole. */
export interface PoolFacts {
  readonly servers: number;
  readonly taking: number;
  /** Ready or waking. */
  readonly awake: number;
  /** Names of those that are being power-cycled. */
  readonly mending: readonly string[];
  readonly target: ReadonlySet<string>;
  /** Names of the target that take no requests yet. */
  readonly notReadyOfTarget: readonly string[];
}

interface Known {
  readonly sequence: number;
  readonly servers: Fleet['servers'];
  readonly facts: PoolFacts;
}

const known = new WeakMap<Fleet, Map<string, Known>>();

/**
 * Counted once for a state of the fleet: a round over 2,000 servers asks 2,000 times. Pure, but for what it remembers.
 */
export function poolFactsOf(fleet: Fleet, poolName: string): PoolFacts {
  const byPool = known.get(fleet) ?? new Map<string, Known>();
  known.set(fleet, byPool);
  const last = byPool.get(poolName);
  if (last?.sequence === fleet.sequence && last.servers === fleet.servers) return last.facts;
  const facts = count(fleet, poolName);
  byPool.set(poolName, { sequence: fleet.sequence, servers: fleet.servers, facts });
  return facts;
}

function count(fleet: Fleet, poolName: string): PoolFacts {
  const states = serversOfPool(fleet, poolName).map(({ state }) => state);
  const target = fleet.pools[poolName]?.decision?.target ?? [];
  return {
    servers: states.length,
    taking: states.filter(takesRequests).length,
    awake: states.filter(({ lifecycle }) => lifecycle === 'ready' || lifecycle === 'waking').length,
    mending: states.filter(({ sleep }) => sleep?.mend).map(({ name }) => name),
    target: new Set(target),
    notReadyOfTarget: target.filter((name) => {
      const server = fleet.servers[name];
      return !server || !takesRequests(server);
    }),
  };
}
