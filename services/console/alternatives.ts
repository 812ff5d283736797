import { alwaysOnWatts } from '../../libs/domain/mod.ts';
import type { EventData, FleetConfig, ServerConfig } from '../../libs/events/mod.ts';

/** What another number of awake servers had meant for the demand of a decision. Rates in requests/s. */
export interface Alternative {
  readonly choice: 'oneFewer' | 'decided' | 'oneMore' | 'allOn';
  readonly servers: number;
  readonly capacityRps: number;
  /** Capacity above the rate it was decided for, with the headroom that the pool asks for; below 0: too little. */
  readonly marginRps: number;
  /** What they draw at the rate of then, by the energy model. */
  readonly watts: number;
}

/**
 * A decision beside one server fewer, one more, and all on, by the servers as they are configured now. The first to be
 * left out, and the last to be added, is the one that draws most for each request/s.
 */
export function alternativesOf(
  { pool, target, inputs, forecastRps }: EventData<'CapacityDecided'>,
  config: FleetConfig,
): Alternative[] {
  const inPool = Object.entries(config.servers).filter(([, server]) => server.pool === pool);
  const byCost = (names: readonly string[]) =>
    inPool
      .filter(([name]) => names.includes(name))
      .sort(([, a], [, b]) => a.energy.busyWatts / a.capacityRps - b.energy.busyWatts / b.capacityRps)
      .map(([, server]) => server);
  const chosen = byCost(target);
  const others = byCost(inPool.map(([name]) => name).filter((name) => !target.includes(name)));
  const needRps = Math.max(forecastRps, inputs.nowRps) * (1 + inputs.headroom);
  const alternative = (choice: Alternative['choice'], servers: readonly ServerConfig[]): Alternative => {
    const capacityRps = servers.reduce((sum, server) => sum + server.capacityRps, 0);
    const asleep = inPool.map(([, server]) => server).filter((server) => !servers.includes(server));
    const offWatts = asleep.reduce((sum, { energy }) => sum + energy.offWatts, 0);
    return {
      choice,
      servers: servers.length,
      capacityRps: round(capacityRps),
      marginRps: round(capacityRps - needRps),
      watts: Math.round(alwaysOnWatts(servers, inputs.nowRps) + offWatts),
    };
  };
  return [
    ...(chosen.length > 1 ? [alternative('oneFewer', chosen.slice(0, -1))] : []),
    alternative('decided', chosen),
    ...(others.length > 1 ? [alternative('oneMore', [...chosen, ...others.slice(0, 1)])] : []),
    ...(others.length > 0 ? [alternative('allOn', [...chosen, ...others])] : []),
  ];
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
