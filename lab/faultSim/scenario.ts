import { Value } from '@sinclair/typebox/value';
import { type FleetConfig, FleetConfigSchema } from '../../libs/events/mod.ts';

/** The part of the control plane that is away for the whole run, in a scenario of rule 1; `none`: faults by seed. */
export type Away = 'none' | 'planner' | 'power' | 'health' | 'bus' | 'all';
export const aways: readonly Away[] = ['none', 'planner', 'power', 'health', 'bus', 'all'];

/** One seed of so many has a part of the control plane away for an hour instead of faults. */
const awayEvery = 50;

export function awayOf(seed: number): Away {
  const turn = seed / awayEvery;
  return Number.isInteger(turn) ? (aways[1 + (turn % (aways.length - 1))] ?? 'none') : 'none';
}

/** What a seed decides before anything runs. */
export interface Scenario {
  readonly seed: number;
  readonly away: Away;
  readonly config: FleetConfig;
  readonly proxies: number;
  /** Servers with an agent on them. */
  readonly agents: readonly string[];
  /** Planner, power and health run twice. */
  readonly replicated: boolean;
  readonly startMs: number;
  /** Faults happen until here, in ms from the start; then everything is mended and the rest is rest. */
  readonly faultyForMs: number;
  readonly restMs: number;
  readonly minServers: number;
}

const minuteMs = 60_000;
/** A Tuesday, so long before a full hour that its energy is accounted for within the run. */
const fullHourMs = Date.UTC(2026, 0, 6, 12);
const beforeFullHourMs = 3 * minuteMs;

/** How long what was mended may take to be as if nothing had been: quarantines, drains, boots, the planner's memory. */
const restMs = 3.5 * minuteMs;
const faultyForMs = 5 * minuteMs;
const hourMs = 60 * minuteMs;

/** @param hours how long faults go on; left out: five minutes, or the hour that a part is away. */
export function scenarioOf(seed: number, random: () => number, away: Away, hours?: number): Scenario {
  const servers = 2 + Math.floor(random() ** 2 * 5);
  // Whoever is to serve without a control plane must have somebody awake.
  const maySleepWhole = away === 'none' && random() < 0.15;
  const minServers = maySleepWhole ? 0 : Math.min(servers, 1 + Math.floor(random() * 2));
  const withAgents = random() < 0.5;
  const names = Array.from({ length: servers }, (_, index) => `s${index + 1}`);
  const ownMs = away === 'none' ? faultyForMs : hourMs;
  return {
    seed,
    away,
    config: configOf(names, minServers, random),
    proxies: 1 + Math.floor(random() * 2),
    agents: withAgents ? names.filter(() => random() < 0.7) : [],
    replicated: away === 'none' && random() < 0.3,
    startMs: fullHourMs - beforeFullHourMs,
    faultyForMs: hours === undefined ? ownMs : hours * hourMs,
    restMs,
    minServers,
  };
}

function configOf(names: readonly string[], minServers: number, random: () => number): FleetConfig {
  const allowForceOff = random() < 0.5;
  const byAgent = random() < 0.3;
  const ladder = { tries: 2, confirmTimeoutMs: 6_000, gracefulOffTimeoutMs: 12_000, allowForceOff };
  const bmc = { driver: 'redfish', url: 'https://bmc.test', username: 'sim', password: 'env:SIM', ...ladder };
  const packet = { driver: 'wol', macs: ['02:00:00:00:00:01'], ...ladder };
  const agent = { driver: 'agent', ...ladder, tries: 1, allowForceOff: false, requestTimeoutMs: 5_000 };
  const power = [...(byAgent ? [agent] : []), bmc, ...(random() < 0.5 ? [packet] : [])];
  const server = (name: string) => ({
    pool: 'web',
    url: `http://${name}.sim:80`,
    capacityRps: 3,
    power,
    wakeTimeoutMs: 40_000,
    energy: { offWatts: 5, idleWatts: 90, busyWatts: 150, setupWatts: 120, setupTimeMs: 8_000 },
  });
  const raw = {
    version: 1,
    pools: { web: poolOf(minServers, random) },
    servers: Object.fromEntries(names.map((name) => [name, server(name)])),
    bounds: boundsOf(random),
  };
  return Value.Decode(FleetConfigSchema, Value.Default(FleetConfigSchema, raw));
}

function poolOf(minServers: number, random: () => number): object {
  return {
    minServers,
    spareServers: random() < 0.2 ? 1 : 0,
    drainTimeoutMs: 12_000,
    failAwake: random() < 0.7 ? 'pool' : 'floor',
    failAwakeAfterMs: 15_000,
    healthCheck: { intervalMs: 3_000, fastIntervalMs: 1_500, timeoutMs: 1_000, rise: 2, fall: 2 },
    parking: { maxWaitMs: 120_000 },
    planner: { decideIntervalMs: 3_000, leaseMs: 15_000, minAwakeMs: 15_000, risk: 0.05 },
    forwarding: { responseTimeoutMs: 8_000, connectTimeoutMs: 1_000 },
  };
}

function boundsOf(random: () => number): object {
  return {
    maxConcurrentWakes: 1 + Math.floor(random() * 3),
    reconcileIntervalMs: 3_000,
    meterIntervalMs: 15_000,
    sampleIntervalMs: 3_000,
    proxyLeaseMs: 10_000,
    proxyGoneMs: 40_000,
    healthLeaseMs: 10_000,
    heartbeatIntervalMs: 6_000,
    heartbeatLeaseMs: 14_000,
    quarantineMs: 10_000,
    maxQuarantineMs: 30_000,
    sleepProofTimeoutMs: 15_000,
    contradictionConfirmMs: 4_500,
    contradictionSettleMs: 12_000,
    restartStormWindowMs: 120_000,
    busLostMs: 12_000,
    leaderLeaseMs: 10_000,
    minRungTimeoutMs: 10_000,
    minConfirmMs: 4_000,
    hungAfterMs: 30_000,
    flapWindowMs: 60_000,
    maxMendsPerDay: 20,
    maxCyclesPerDay: 100,
  };
}
