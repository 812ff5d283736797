import type { DraftOf, FleetConfig, PoolConfig } from '../events/mod.ts';
import { type Candidates, candidatesOf } from './candidates.ts';
import type { Demand } from './demand.ts';
import { type Fleet, floorOf, serversOfPool } from './fleet.ts';
import { type DemandSettings, type PoolDemand, type Provided, wakeFactor } from './poolDemand.ts';
import { scheduledServers } from './schedule.ts';
import { capacityOf, createSelection, expectedSetupMs, type Prospect, pick } from './selection.ts';
import { failureShare, type OnItsWay, withReserve } from './wakeRecord.ts';

export type CapacityDecision = DraftOf<'CapacityDecided'>['data'];

/** A load that has just begun to be known may double before more is known of it. */
const newcomerFactor = 2;
const cautiousSetups = 3.5;
const longestCaution = 900_000;
/** What was needed within this share of a setup time is not put to sleep. */
const holdSetups = 0.25;

/**
 * How the demand of this pool is to be looked at: the setup time of its servers, its risk, the proxies' bounds.
 * @returns undefined when the pool is not configured.
 */
export function demandSettings(fleet: Fleet, poolName: string): DemandSettings | undefined {
  const pool = fleet.config?.pools[poolName];
  if (!fleet.config || !pool) return undefined;
  const setupTimes = serversOfPool(fleet, poolName).map(expectedSetupMs);
  return settingsOf(
    fleet.config,
    pool,
    setupTimes.reduce((longest, ms) => Math.max(longest, ms), 1),
  );
}

function settingsOf({ bounds }: FleetConfig, { planner }: PoolConfig, horizonMs: number): DemandSettings {
  return {
    horizonMs,
    sampleIntervalMs: bounds.sampleIntervalMs,
    burstWindowMs: planner.burstWindowMs,
    risk: planner.risk,
    dayMs: planner.dayMs,
    proxyLeaseMs: bounds.proxyLeaseMs,
    proxyGoneMs: bounds.proxyGoneMs,
  };
}

/** What a pool's servers come to, taken together. */
interface Traits {
  /** The longest setup time that is expected. */
  readonly horizonMs: number;
  /** The longest break-even time of those that are worth sleeping. */
  readonly breakEvenMs: number;
  readonly provided: Provided;
  /** What is on its way, and how often that comes to nothing. */
  readonly onItsWay: OnItsWay;
  readonly ready: number;
  readonly allReadyUnhealthy: boolean;
  /** Those that are awake and not cordoned. */
  readonly awake: readonly Prospect[];
  /** Those of them that draw as much asleep as idle. */
  readonly awakeForGood: readonly Prospect[];
  /** Those that are awake and may be chosen, in the order of their cost. */
  readonly awakeInOrderOfCost: readonly Prospect[];
}

const knownTraits = new WeakMap<Candidates, Traits>();

/** Looked up where the pool's servers are those of the last decision. */
function traitsOf(candidates: Candidates): Traits {
  const known = knownTraits.get(candidates);
  if (known) return known;
  const traits = traitsOfAll(candidates);
  knownTraits.set(candidates, traits);
  return traits;
}

function traitsOfAll({ all: servers, inOrderOfCost }: Candidates): Traits {
  let horizonMs = 1;
  let longestBreakEvenMs = 0;
  let readyRps = 0;
  let readyServers = 0;
  let waking = 0;
  let wakingRps = 0;
  let ready = 0;
  let readyUnhealthy = 0;
  for (const server of servers) {
    const { setupTimeMs, breakEvenMs, takesRequests, capacityRps, lifecycle, isAwake, counts } = server;
    horizonMs = Math.max(horizonMs, setupTimeMs);
    if (Number.isFinite(breakEvenMs)) longestBreakEvenMs = Math.max(longestBreakEvenMs, breakEvenMs);
    if (lifecycle === 'waking' && isAwake && counts) {
      waking += 1;
      wakingRps += capacityRps;
    }
    if (lifecycle === 'ready') {
      ready += 1;
      if (server.isUnhealthy) readyUnhealthy += 1;
    }
    if (!takesRequests) continue;
    readyRps += capacityRps;
    readyServers += 1;
  }
  const provided = { readyRps, wholePool: readyServers === servers.length };
  const onItsWay = {
    waking,
    wakingRps: waking === 0 ? 0 : wakingRps / waking,
    failureShare: waking === 0 ? 0 : failureShare(recordsOf(servers)),
  };
  const awake = servers.filter(({ isAwake, isCordoned }) => isAwake && !isCordoned);
  return {
    horizonMs,
    breakEvenMs: longestBreakEvenMs,
    provided,
    onItsWay,
    ready,
    allReadyUnhealthy: ready > 0 && readyUnhealthy === ready,
    awake,
    awakeForGood: awake.filter((server) => !Number.isFinite(server.breakEvenMs)),
    awakeInOrderOfCost: inOrderOfCost.filter(({ isAwake }) => isAwake),
  };
}

function* recordsOf(servers: readonly Prospect[]) {
  for (const { wakeRecord } of servers) if (wakeRecord) yield wakeRecord;
}

/**
 * Decides which servers of the pool shall be awake: enough for the rate that is exceeded, one setup time from now, with
 * the accepted risk; at least the floor; and spare servers for a failure. A server is woken when the risk without it
 * is twice the accepted one, and sleeps when half of it was never reached for a quarter of the setup time. Never
 * downward on missing, short or paused knowledge.
 * @param demand what is known of the pool's load; its steps up to now are closed here.
 * @returns undefined when the pool is not configured.
 */
export function decideCapacity(
  fleet: Fleet,
  poolName: string,
  demand: PoolDemand,
  nowMs: number,
): CapacityDecision | undefined {
  const pool = fleet.config?.pools[poolName];
  if (!fleet.config || !pool) return undefined;
  const candidates = candidatesOf(fleet, poolName, nowMs);
  const { all: servers, inOrderOfCost: order } = candidates;
  const traits = traitsOf(candidates);
  const { horizonMs, breakEvenMs: breakEven, provided, onItsWay } = traits;
  const settings = settingsOf(fleet.config, pool, horizonMs);
  demand.advance(nowMs, settings, provided);
  const seen = demand.demand(nowMs, settings);
  const scheduled = Math.min(
    servers.length,
    scheduledServers(pool.planner.schedules, nowMs, settings.horizonMs),
  );
  const floor = Math.max(floorOf(fleet, poolName), scheduled);
  const needs = needsOf(demand, seen, settings, floor, breakEven, provided.readyRps, onItsWay, nowMs);
  const withHeadroom = 1 + pool.planner.headroom;
  const minimum = Math.max(floor, needs.somebody ? 1 : 0);
  const needed = pick(order, { minimum, rps: needs.wakeRps * withHeadroom });
  const kept = pick(traits.awakeInOrderOfCost, { minimum, rps: needs.keepRps * withHeadroom });
  const keepReason = reasonToKeepAll(fleet, poolName, traits, seen);
  const selection = createSelection(servers);
  selection.add(needed);
  selection.add(kept);
  selection.add(keepReason === undefined ? traits.awakeForGood : traits.awake);
  selection.addFirst(order, pool.spareServers);
  const target = selection.servers;
  const inputs: CapacityDecision['inputs'] = {
    nowRps: round(seen.nowRps),
    levelRps: round(demand.levelRps),
    keepRps: round(needs.keepRps),
    risk: pool.planner.risk,
    horizonMs: Math.round(settings.horizonMs),
    parked: seen.parked,
    inFlight: seen.inFlight,
    proxies: seen.liveProxies,
    observedForMs: seen.observedForMs,
    neededServers: needed.length,
    keptServers: kept.length,
    capacityRps: round(capacityOf(target)),
    countedServers: traits.ready,
    floor,
    spareServers: pool.spareServers,
    headroom: pool.planner.headroom,
    breakEvenMs: Math.round(breakEven),
  };
  return {
    pool: poolName,
    target: selection.names(),
    inputs,
    forecastRps: round(needs.wakeRps),
    validForMs: pool.planner.leaseMs,
    reason: explain(
      inputs,
      needs.wakeRps,
      seen,
      { target: target.length, pool: servers.length, scheduled },
      keepReason,
    ),
  };
}

interface Needs {
  /** Capacity that must be there or be woken. */
  readonly wakeRps: number;
  /** Capacity that is not put to sleep. */
  readonly keepRps: number;
  /** There is or may be somebody to serve. */
  readonly somebody: boolean;
}

function needsOf(
  demand: PoolDemand,
  seen: Demand,
  settings: DemandSettings,
  floor: number,
  breakEven: number,
  servingRps: number,
  onItsWay: OnItsWay,
  nowMs: number,
): Needs {
  const waiting = seen.parked + seen.inFlight > 0;
  // A pool that may sleep whole does so when nobody has come for a while; the forecast alone never says 0.
  const isQuiet = !waiting && demand.quietForMs(nowMs) > Math.max(breakEven, settings.horizonMs);
  if (isQuiet && floor === 0) return { wakeRps: 0, keepRps: 0, somebody: false };
  const accepted = { factor: wakeFactor, risk: settings.risk };
  let wakeRps = withReserve((factor) => demand.upperRps(settings, factor), accepted, onItsWay);
  // The queue is to be gone a minute after there is room again.
  const isShort = seen.parked > 0 || seen.nowRps > servingRps;
  if (isShort) wakeRps = Math.max(wakeRps, seen.nowRps + seen.parked / 60);
  const isNew = seen.observedForMs < Math.min(longestCaution, cautiousSetups * settings.horizonMs);
  if (isNew) wakeRps = Math.max(wakeRps, newcomerFactor * seen.nowRps);
  const keepRps = Math.max(wakeRps, demand.heldUpperRps(settings.horizonMs * holdSetups));
  return { wakeRps, keepRps, somebody: waiting || seen.nowRps > 0 || demand.levelRps > 0 };
}

/** Why nothing may sleep on what is known, if so. */
function reasonToKeepAll(
  fleet: Fleet,
  poolName: string,
  { breakEvenMs: windowMs, allReadyUnhealthy }: Traits,
  demand: Demand,
): string | undefined {
  if (fleet.pools[poolName]?.paused) return 'the planner is paused';
  if (demand.liveProxies === 0) return 'no proxy reports its load';
  if (demand.observedForMs < windowMs) {
    return `the load is known for ${seconds(demand.observedForMs)} of the ${seconds(windowMs)} that a sleep asks for`;
  }
  if (allReadyUnhealthy) {
    return 'every ready server is unhealthy, as it would look to a prober whose network is dead';
  }
  return undefined;
}

function explain(
  inputs: CapacityDecision['inputs'],
  forecastRps: number,
  seen: Demand,
  servers: { readonly target: number; readonly pool: number; readonly scheduled: number },
  keepReason: string | undefined,
): string {
  const parts = [
    `${servers.target} of ${servers.pool} servers awake: up to ${round(forecastRps)} requests/s within the setup time of ` +
      `${seconds(inputs.horizonMs)} at risk ${inputs.risk} (now ${inputs.nowRps}, level ${inputs.levelRps}) ` +
      `need ${inputs.neededServers}`,
  ];
  if (inputs.headroom > 0) parts.push(`headroom ${Math.round(inputs.headroom * 100)} %`);
  if (inputs.keptServers > inputs.neededServers) {
    parts.push(`${inputs.keptServers} kept for ${inputs.keepRps} requests/s, expected lately`);
  }
  if (inputs.parked > 0) parts.push(`${inputs.parked} requests parked`);
  if (seen.missingProxies > 0)
    parts.push(`${seen.missingProxies} proxies silent, counted with their last load`);
  if (inputs.spareServers > 0) parts.push(`${inputs.spareServers} spare`);
  if (servers.scheduled > 0) parts.push(`${servers.scheduled} by schedule`);
  if (inputs.neededServers <= inputs.floor) parts.push(`floor ${inputs.floor}`);
  if (keepReason) parts.push(`nothing sleeps: ${keepReason}`);
  return parts.join('; ');
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
