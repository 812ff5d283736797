import {
  type CapacityLearner,
  capacityRpsOf,
  createCapacityLearner,
  serverViewOf,
} from '../../libs/domain/mod.ts';
import type { EventOf } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';

export interface Capacities {
  /** Learns from what the servers of a pool served, and publishes what is new. */
  observe(event: EventOf<'LoadSampled'>): void;
}

/** A fact that is not stored within this time is learned again. */
const publishTimeoutMs = 5_000;

/**
 * Learns what each server of the pools that want it (`planner.learnCapacity`) sustains. The samples of several proxies
 * add up.
 */
export function createCapacities({ view, log }: { view: FleetView; log: Logger }): Capacities {
  const learners = new Map<string, CapacityLearner>();
  const learnerOf = (server: string) => {
    const learner = learners.get(server) ?? createCapacityLearner();
    learners.set(server, learner);
    return learner;
  };
  return {
    observe({ data, timeMs }) {
      const pool = view.fleet.config?.pools[data.pool];
      if (!pool?.planner.learnCapacity) return;
      for (const [name, served] of Object.entries(data.servers)) {
        const server = serverViewOf(view.fleet, name);
        if (!server || server.state.pool !== data.pool) continue;
        const { state, config } = server;
        const learner = learnerOf(name);
        const { slowStartMs } = pool.balancing;
        const isSettled =
          state.lifecycle === 'ready' &&
          state.health === 'healthy' &&
          timeMs - (state.healthyAtMs ?? timeMs) > slowStartMs;
        if (!isSettled) {
          learner.forget();
          continue;
        }
        const known = {
          capacityRps: capacityRpsOf(state, pool, config),
          configuredRps: config.capacityRps,
          latencyObjectiveMs: pool.latencyObjectiveMs,
        };
        const sample = {
          timeMs,
          intervalMs: data.intervalMs,
          completed: served.completed,
          failed: served.failed,
          p95Ms: served.latencyMs.p95,
        };
        const learned = learner.observe(sample, known);
        if (!learned) continue;
        view
          .record(
            { type: 'ServerCapacityLearned', data: { server: name, pool: data.pool, ...learned } },
            publishTimeoutMs,
          )
          .catch((error) => log.warn({ server: name, error: messageOf(error) }, 'capacity not published'));
      }
    },
  };
}
