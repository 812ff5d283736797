import type { DraftOf } from '../events/mod.ts';
import { type Demand, type DemandSettings, demandOf, type LoadHistory } from './demand.ts';
import { breakEvenMs } from './energy.ts';
import { type Fleet, floorOf, type ServerView, serversOfPool } from './fleet.ts';
import type { Lifecycle } from './server.ts';

export type CapacityDecision = DraftOf<'CapacityDecided'>['data'];

/** A wake that takes longer than this many setup times is not counted on: a substitute is woken. */
const overdueSetupTimes = 1.5;

/** The cheaper it is to have a server serve, the earlier it is chosen. */
const preference: Readonly<Record<Lifecycle, number>> = {
  ready: 0,
  waking: 1,
  draining: 2,
  stopping: 4,
  asleep: 3,
  failed: 9,
  quarantined: 9,
};

/** How far back the planner of this pool must know the load before it may decide downward, in ms. */
export function plannerWindowMs(fleet: Fleet, poolName: string): number {
  const settings = demandSettings(fleet, poolName);
  return settings ? Math.max(settings.stableWindowMs, settings.holdWindowMs) : 0;
}

function demandSettings(fleet: Fleet, poolName: string): DemandSettings | undefined {
  const pool = fleet.config?.pools[poolName];
  if (!fleet.config || !pool) return undefined;
  const servers = serversOfPool(fleet, poolName);
  const breakEven = servers.map(({ config }) => breakEvenMs(config.energy)).filter(Number.isFinite);
  const setupTimes = servers.map(expectedSetupMs);
  return {
    stableWindowMs: pool.planner.stableWindowMs,
    burstWindowMs: pool.planner.burstWindowMs,
    holdWindowMs: breakEven.length > 0 ? Math.max(...breakEven) : pool.planner.stableWindowMs,
    proxyLeaseMs: fleet.config.bounds.proxyLeaseMs,
    horizonMs: setupTimes.length > 0 ? Math.max(...setupTimes) : 0,
  };
}

/** The longest of the last measured setup times, or what the config says while there is none; in ms. */
export function expectedSetupMs(server: ServerView): number {
  const measured = server.state.setupTimesMs;
  return measured.length > 0 ? Math.max(...measured) : server.config.energy.setupTimeMs;
}

/**
 * Decides which servers of the pool shall be awake: enough capacity for the forecast with headroom, at least the
 * floor, and spare servers for a failure. Upward at once; downward only when the load of the whole break-even time
 * could have been served with less, and never on missing, short or paused knowledge.
 * @returns undefined when the pool is not configured.
 */
export function decideCapacity(
  fleet: Fleet,
  poolName: string,
  load: LoadHistory,
  nowMs: number,
): CapacityDecision | undefined {
  const pool = fleet.config?.pools[poolName];
  const settings = demandSettings(fleet, poolName);
  if (!pool || !settings) return undefined;
  const servers = serversOfPool(fleet, poolName);
  const demand = demandOf(load, settings, nowMs);
  const floor = floorOf(fleet, poolName);
  const order = [...servers].filter((server) => canBeChosen(server, nowMs)).sort(byPreference);
  const enough = { minimum: floor, waiting: demand.parked + demand.inFlight > 0 };
  const withHeadroom = 1 + pool.planner.headroom;
  const needed = pick(order, { ...enough, rps: demand.forecastRps * withHeadroom }, nowMs);
  const held = pick(
    order,
    { ...enough, rps: Math.max(demand.forecastRps, demand.holdRps) * withHeadroom },
    nowMs,
  );
  const keepReason = reasonToKeepAll(fleet, poolName, demand);
  const stays = (server: ServerView) =>
    isAwake(server) && (keepReason !== undefined || !isWorthSleeping(server));
  const chosen = union(held, servers.filter(stays));
  const target = withSpares(chosen, order, pool.spareServers);
  const inputs: CapacityDecision['inputs'] = {
    demandRps: round(Math.max(demand.stableRps, demand.burstRps)),
    stableRps: round(demand.stableRps),
    burstRps: round(demand.burstRps),
    parked: demand.parked,
    inFlight: demand.inFlight,
    proxies: demand.liveProxies,
    observedForMs: demand.observedForMs,
    neededServers: needed.length,
    holdServers: held.length,
    capacityRps: round(capacityOf(target.filter((server) => counts(server, nowMs)))),
    countedServers: servers.filter((server) => server.state.lifecycle === 'ready').length,
    floor,
    spareServers: pool.spareServers,
    headroom: pool.planner.headroom,
    breakEvenMs: settings.holdWindowMs,
  };
  return {
    pool: poolName,
    target: target.map((server) => server.state.name).sort(),
    inputs,
    forecastRps: round(demand.forecastRps),
    validForMs: pool.planner.leaseMs,
    reason: explain(inputs, demand, target.length, servers.length, keepReason),
  };
}

function canBeChosen({ state }: ServerView, nowMs: number): boolean {
  if (state.cordoned) return false;
  if (nowMs < (state.quarantinedUntilMs ?? 0)) return false;
  const shouldServe = state.lifecycle === 'ready' || state.lifecycle === 'draining';
  return !shouldServe || state.health === 'healthy';
}

/** Is this server's capacity there, or will it be in its setup time? An overdue or stumbling wake is not counted. */
function counts(server: ServerView, nowMs: number): boolean {
  const { state } = server;
  if (state.lifecycle === 'failed' || state.lifecycle === 'quarantined') return false;
  if (state.lifecycle !== 'waking') return true;
  return !state.wake?.attemptFailed && nowMs - state.sinceMs <= expectedSetupMs(server) * overdueSetupTimes;
}

function byPreference(a: ServerView, b: ServerView): number {
  const wattsPerRps = ({ config }: ServerView) => config.energy.busyWatts / config.capacityRps;
  return (
    preference[a.state.lifecycle] - preference[b.state.lifecycle] ||
    a.state.failedWakes - b.state.failedWakes ||
    wattsPerRps(a) - wattsPerRps(b) ||
    (a.state.name < b.state.name ? -1 : 1)
  );
}

interface Need {
  readonly rps: number;
  readonly minimum: number;
  /** Somebody waits or is being served: at least one server. */
  readonly waiting: boolean;
}

/** The first servers of the order that together meet the need; one that can't be counted on is taken, not counted. */
function pick(order: readonly ServerView[], need: Need, nowMs: number): ServerView[] {
  const minimum = Math.max(need.minimum, need.waiting || need.rps > 0 ? 1 : 0);
  const chosen: ServerView[] = [];
  let capacityRps = 0;
  let counted = 0;
  for (const server of order) {
    if (counted >= minimum && capacityRps >= need.rps) break;
    chosen.push(server);
    if (!counts(server, nowMs)) continue;
    counted += 1;
    capacityRps += server.config.capacityRps;
  }
  return chosen;
}

function withSpares(
  chosen: readonly ServerView[],
  order: readonly ServerView[],
  spareServers: number,
): ServerView[] {
  const rest = order.filter((server) => !chosen.includes(server));
  return [...chosen, ...rest.slice(0, spareServers)];
}

function union(chosen: readonly ServerView[], others: readonly ServerView[]): ServerView[] {
  return [...chosen, ...others.filter((server) => !chosen.includes(server) && !server.state.cordoned)];
}

/** Known to be on, or on its way: one that nobody has looked at yet may be off, and is not woken for that. */
function isAwake({ state }: ServerView): boolean {
  if (state.lifecycle === 'waking') return state.wake !== undefined || state.powerState === 'on';
  return state.lifecycle === 'ready' || state.lifecycle === 'draining';
}

/** A machine that draws as much asleep as idle is left on. */
function isWorthSleeping({ config }: ServerView): boolean {
  return Number.isFinite(breakEvenMs(config.energy));
}

/** Why nothing may sleep on what is known, if so. */
function reasonToKeepAll(fleet: Fleet, poolName: string, demand: Demand): string | undefined {
  const windowMs = plannerWindowMs(fleet, poolName);
  if (fleet.pools[poolName]?.paused) return 'the planner is paused';
  if (demand.liveProxies === 0) return 'no proxy reports its load';
  if (demand.observedForMs < windowMs) {
    return `the load is known for ${seconds(demand.observedForMs)} of the ${seconds(windowMs)} that a sleep asks for`;
  }
  const ready = serversOfPool(fleet, poolName).filter(({ state }) => state.lifecycle === 'ready');
  if (ready.length > 0 && ready.every(({ state }) => state.health === 'unhealthy')) {
    return 'every ready server is unhealthy, as it would look to a prober whose network is dead';
  }
  return undefined;
}

function explain(
  inputs: CapacityDecision['inputs'],
  demand: Demand,
  targetCount: number,
  poolCount: number,
  keepReason: string | undefined,
): string {
  const parts = [
    `${targetCount} of ${poolCount} servers awake: forecast ${round(demand.forecastRps)} requests/s ` +
      `(now ${inputs.burstRps}, level ${inputs.stableRps}) with ${Math.round(inputs.headroom * 100)} % headroom ` +
      `needs ${inputs.neededServers}`,
  ];
  if (inputs.holdServers > inputs.neededServers) {
    parts.push(
      `${inputs.holdServers} kept because ${round(demand.holdRps)} requests/s came within the break-even time of ${seconds(inputs.breakEvenMs)}`,
    );
  }
  if (inputs.parked > 0) parts.push(`${inputs.parked} requests parked`);
  if (demand.missingProxies > 0)
    parts.push(`${demand.missingProxies} proxies silent, counted with their last load`);
  if (inputs.spareServers > 0) parts.push(`${inputs.spareServers} spare`);
  if (inputs.neededServers <= inputs.floor) parts.push(`floor ${inputs.floor}`);
  if (keepReason) parts.push(`nothing sleeps: ${keepReason}`);
  return parts.join('; ');
}

function capacityOf(servers: readonly ServerView[]): number {
  return servers.reduce((sum, server) => sum + server.config.capacityRps, 0);
}

function seconds(ms: number): string {
  return `${round(ms / 1_000)} s`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Must this decision be published, or does the latest one still say the same, with lease enough left? */
export function decisionIsNews(fleet: Fleet, decision: CapacityDecision, nowMs: number): boolean {
  const latest = fleet.pools[decision.pool]?.decision;
  if (!latest) return true;
  const sameTarget =
    latest.target.length === decision.target.length &&
    latest.target.every((name, index) => name === decision.target[index]);
  return !sameTarget || nowMs - latest.decidedAtMs >= latest.validForMs / 3 || latest.decidedAtMs > nowMs;
}
