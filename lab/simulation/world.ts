import type { FleetConfig } from '../../libs/events/mod.ts';
import { seededRandom } from '../rack/random.ts';
import type { Trace } from '../traces/trace.ts';
import type { SimulationOptions, SimulationResult } from './counting.ts';
import { drawArrivals, type SimulatedLoad, scaleLoad } from './load.ts';
import { alwaysOnEnergyWh, type ClairvoyantPlan, clairvoyantPlan } from './policies/optimal.ts';
import type { FleetFacts } from './policies/policy.ts';

/** What a run needs beside the fleet and the series; a fleet's own defaults are the published test bed's. */
export interface WorldSettings {
  readonly peakRps: number;
  readonly seed: number;
  readonly serviceSeconds: number;
  readonly maxParked: number;
  readonly wakeFailure: number;
  readonly setupSpread: number;
}

/** One load before one fleet, drawn once: every policy is run and judged in the same one. */
export interface World {
  readonly load: SimulatedLoad;
  readonly facts: FleetFacts;
  readonly arrivals: Uint32Array;
  readonly cappedRequests: number;
  readonly optimum: ClairvoyantPlan;
  readonly alwaysOnWh: number;
  /** What a run takes, its randomness as at the start of every run. */
  simulation(): SimulationOptions;
}

/** The test bed of AutoScale (Gandhi et al. 2012), with 10 W for a BMC that stays awake. */
export const testBed: FleetFacts = {
  servers: 14,
  capacityRps: 60,
  setupSeconds: 260,
  idleWatts: 140,
  busyWatts: 200,
  setupWatts: 200,
  offWatts: 10,
  latencyObjectiveSeconds: 0.5,
};
/** Of the capacity of the test bed's 840 requests/s. */
export const testBedPeakRps = 800;

export function createWorld(trace: Trace, facts: FleetFacts, settings: WorldSettings): World {
  const fleetRps = facts.servers * facts.capacityRps;
  const load = scaleLoad(trace, settings.peakRps, fleetRps);
  const { perSecond, cappedRequests } = drawArrivals(load, fleetRps, seededRandom(settings.seed));
  return {
    load,
    facts,
    arrivals: perSecond,
    cappedRequests,
    optimum: clairvoyantPlan(load, facts),
    alwaysOnWh: alwaysOnEnergyWh(load, facts),
    simulation: () => ({
      load,
      facts,
      arrivals: perSecond,
      random: seededRandom(settings.seed + 1),
      serviceSeconds: settings.serviceSeconds,
      maxWaiting: settings.maxParked,
      wakeFailure: settings.wakeFailure,
      setupSpread: settings.setupSpread,
    }),
  };
}

/**
 * The equal servers that a configured pool amounts to: what the load is scaled to and the whole fleet's energy.
 * @throws Error unless it has exactly one pool.
 */
export function factsOf(config: FleetConfig): FleetFacts {
  const [pool, another] = Object.values(config.pools);
  if (!pool || another) throw new Error('--config: simulate needs a configuration with exactly one pool');
  const servers = Object.values(config.servers);
  const mean = (of: (server: (typeof servers)[number]) => number) =>
    servers.reduce((sum, server) => sum + of(server), 0) / servers.length;
  return {
    servers: servers.length,
    capacityRps: mean((server) => server.capacityRps),
    setupSeconds: mean((server) => server.energy.setupTimeMs) / 1_000,
    idleWatts: mean((server) => server.energy.idleWatts),
    busyWatts: mean((server) => server.energy.busyWatts),
    setupWatts: mean((server) => server.energy.setupWatts),
    offWatts: mean((server) => server.energy.offWatts),
    latencyObjectiveSeconds: pool.latencyObjectiveMs / 1_000,
  };
}

/** The figures that policies are compared by. */
export interface Figures {
  readonly energyWh: number;
  readonly vsOptimal: number;
  readonly vsAlwaysOn: number;
  readonly lateFraction: number;
  readonly refusedFraction: number;
  readonly cyclesPerServerDay: number;
}

const secondsPerDay = 86_400;

export function figuresOf(result: SimulationResult, world: World): Figures {
  const requests = Math.max(1, result.requests);
  const serverDays = (world.facts.servers * result.seconds) / secondsPerDay;
  return {
    energyWh: rounded(result.energyWh, 1),
    vsOptimal: rounded(result.energyWh / world.optimum.energyWh, 4),
    vsAlwaysOn: rounded(result.energyWh / world.alwaysOnWh, 4),
    lateFraction: rounded(result.late / requests, 7),
    refusedFraction: rounded(result.refused / requests, 7),
    cyclesPerServerDay: rounded(result.wakes / serverDays, 3),
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
