import { type Fleet, serversOfPool } from '../../libs/domain/mod.ts';
import type { EventType } from '../../libs/events/mod.ts';
import type { MetricSample } from '../../libs/runtime/metrics.ts';

const lifecycles = ['asleep', 'waking', 'ready', 'draining', 'stopping', 'failed', 'quarantined'] as const;

/** The fleet as the planner sees it, and how many events of which type it has seen. Pure. */
export function plannerSamples(
  fleet: Fleet,
  events: ReadonlyMap<EventType, number>,
  nowMs: number,
): MetricSample[] {
  const pools = Object.keys(fleet.config?.pools ?? {});
  return [
    ...pools.flatMap((pool) => poolSamples(fleet, pool, nowMs)),
    ...[...events].map(([type, value]): MetricSample => ({ name: 'nemuri.events', labels: { type }, value })),
  ];
}

function poolSamples(fleet: Fleet, pool: string, nowMs: number): MetricSample[] {
  const views = serversOfPool(fleet, pool);
  const labels = { pool };
  const count = (fits: (view: (typeof views)[number]) => boolean) => views.filter(fits).length;
  const ready = views.filter(({ state }) => state.lifecycle === 'ready');
  const { decision } = fleet.pools[pool] ?? {};
  return [
    ...lifecycles.map(
      (lifecycle): MetricSample => ({
        name: 'nemuri.servers',
        labels: { pool, lifecycle },
        value: count(({ state }) => state.lifecycle === lifecycle),
      }),
    ),
    {
      name: 'nemuri.servers.unhealthy',
      labels,
      value: count(({ state }) => state.lifecycle === 'ready' && state.health === 'unhealthy'),
    },
    { name: 'nemuri.servers.cordoned', labels, value: count(({ state }) => state.cordoned) },
    {
      name: 'nemuri.capacity.ready',
      labels,
      value: ready.reduce((sum, { config }) => sum + config.capacityRps, 0),
    },
    ...(decision
      ? ([
          { name: 'nemuri.planner.target', labels, value: decision.target.length },
          {
            name: 'nemuri.planner.decision_age',
            labels,
            value: Math.max(0, nowMs - decision.decidedAtMs) / 1_000,
          },
          { name: 'nemuri.planner.lease', labels, value: decision.validForMs / 1_000 },
        ] as const)
      : []),
  ];
}
