import { type Fleet, takesRequests } from '../../libs/domain/mod.ts';

/** Whatever became of a server: it takes requests, or sleeps. */
export function isSettled(fleet: Fleet, server: string): boolean {
  const state = fleet.servers[server];
  return state !== undefined && (takesRequests(state) || state.lifecycle === 'asleep');
}

/** Whatever became of its servers, what the planner asks for is there. */
export function isProvided(fleet: Fleet, pool: string): boolean {
  const target = fleet.pools[pool]?.decision?.target ?? [];
  return target.every((name) => {
    const state = fleet.servers[name];
    return state !== undefined && takesRequests(state);
  });
}
