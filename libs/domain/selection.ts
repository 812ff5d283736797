import type { FleetConfig } from '../events/mod.ts';
import { isInStorm } from './contradictions.ts';
import { breakEvenMs } from './energy.ts';
import { type Fleet, membersOf, type ServerView } from './fleet.ts';
import { orderNow } from './hand.ts';
import { isWithdrawn } from './heartbeat.ts';
import { takesRequests } from './routing.ts';
import type { Lifecycle, ServerState } from './server.ts';
import { isCountedOn } from './wakeLadder.ts';

/** A wake that takes longer than this many setup times is not counted on: a substitute is woken, at worst in vain. */
const overdueSetupTimes = 1.15;
/** A wake's energy counts as spread over so many break-even times when a server that sleeps is compared. */
const repaidBreakEvens = 3;
/** Watts by which a server in this lifecycle is passed over for one that is ready; what sleeps pays its own wake. */
const inconvenienceWatts: Readonly<Record<Lifecycle, number>> = {
  ready: 0,
  waking: 1,
  draining: 2,
  asleep: 3,
  stopping: 13,
  failed: 10_000,
  quarantined: 10_000,
};

/**
 * What a planner has to know of one server, looked up once: a fleet may have ten thousand, and each decision goes over
 * them several times.
 */
export interface Prospect {
  readonly name: string;
  readonly capacityRps: number;
  /** Watts at full load for each request/s, with what it takes to have it serve: the smaller, the earlier chosen. */
  readonly cost: number;
  readonly setupTimeMs: number;
  /** Infinity where sleep saves nothing. */
  readonly breakEvenMs: number;
  readonly lifecycle: Lifecycle;
  readonly isUnhealthy: boolean;
  readonly isCordoned: boolean;
  readonly takesRequests: boolean;
  readonly canBeChosen: boolean;
  /** Its capacity is there, or will be in its setup time. An overdue or stumbling wake is not counted on. */
  readonly counts: boolean;
  /** Known to be on, or on its way: one that nobody has looked at yet may be off, and is not woken for that. */
  readonly isAwake: boolean;
}

function prospectOf(server: ServerView, nowMs: number): Prospect {
  const { state, config } = server;
  const setupTimeMs = expectedSetupMs(server);
  const breakEven = breakEvenMs(config.energy, setupTimeMs);
  return {
    name: state.name,
    capacityRps: config.capacityRps,
    cost: costOf(server, breakEven, setupTimeMs),
    setupTimeMs,
    breakEvenMs: breakEven,
    lifecycle: state.lifecycle,
    isUnhealthy: state.health === 'unhealthy',
    isCordoned: state.cordoned,
    takesRequests: takesRequests(state),
    canBeChosen: canBeChosen(server, nowMs),
    counts: counts(server, setupTimeMs, nowMs),
    isAwake: isAwake(server),
  };
}

interface Known {
  readonly state: ServerState;
  readonly prospect: Prospect;
}

/** What was made of each server's state last: most do not change from one decision to the next. */
const lastProspects = new WeakMap<FleetConfig, Map<string, (Known | undefined)[]>>();

/** All servers of a pool as prospects, in the order of their names. Empty for an unknown pool. */
export function prospectsOf(fleet: Fleet, poolName: string, nowMs: number): Prospect[] {
  const { config } = fleet;
  const pool = config?.pools[poolName];
  if (!config || !pool) return [];
  const byPool = lastProspects.get(config) ?? new Map<string, (Known | undefined)[]>();
  lastProspects.set(config, byPool);
  const known = byPool.get(poolName) ?? [];
  byPool.set(poolName, known);
  const prospects: Prospect[] = [];
  for (const [index, name] of membersOf(config, poolName).entries()) {
    const state = fleet.servers[name];
    const serverConfig = config.servers[name];
    if (!state || !serverConfig) continue;
    const last = known[index];
    // A wake grows overdue, a quarantine and an order end by time alone.
    const isTimeless = state.lifecycle !== 'waking' && !state.quarantinedUntilMs && !state.order;
    if (last?.state === state && isTimeless) {
      prospects.push(last.prospect);
      continue;
    }
    const prospect = prospectOf({ state, config: serverConfig, pool }, nowMs);
    known[index] = { state, prospect };
    prospects.push(prospect);
  }
  return prospects;
}

/** The longest of the last measured setup times, or what the config says while there is none; in ms. */
export function expectedSetupMs({ state, config }: ServerView): number {
  let longestMs = 0;
  for (const ms of state.setupTimesMs) if (ms > longestMs) longestMs = ms;
  return longestMs > 0 ? longestMs : config.energy.setupTimeMs;
}

function canBeChosen({ state }: ServerView, nowMs: number): boolean {
  if (state.cordoned || orderNow(state, nowMs)?.wants === 'asleep') return false;
  // By its own word, or by its boots, it takes no requests.
  if (isWithdrawn(state) || isInStorm(state)) return false;
  if (nowMs < (state.quarantinedUntilMs ?? 0)) return false;
  const shouldServe = state.lifecycle === 'ready' || state.lifecycle === 'draining';
  return !shouldServe || state.health === 'healthy';
}

function counts(server: ServerView, setupTimeMs: number, nowMs: number): boolean {
  const { state } = server;
  const isOverdue = state.lifecycle === 'waking' && nowMs - state.sinceMs > setupTimeMs * overdueSetupTimes;
  return isCountedOn(server) && !isOverdue;
}

function isAwake({ state }: ServerView): boolean {
  if (state.lifecycle === 'waking') return state.wake !== undefined || state.powerState === 'on';
  return state.lifecycle === 'ready' || state.lifecycle === 'draining';
}

/**
 * To wake a server costs its setup energy: one that sleeps is taken for one that is awake only when it is cheaper by as
 * much.
 */
function costOf({ state, config }: ServerView, breakEven: number, setupTimeMs: number): number {
  const { energy, capacityRps } = config;
  const mustBeWoken = state.lifecycle === 'asleep' || state.lifecycle === 'stopping';
  const wakeWatts =
    mustBeWoken && breakEven > 0 ? (energy.setupWatts * setupTimeMs) / (repaidBreakEvens * breakEven) : 0;
  const failedWatts = 1_000 * state.failedWakes;
  return (energy.busyWatts + wakeWatts + inconvenienceWatts[state.lifecycle] + failedWatts) / capacityRps;
}

/** Those that may be chosen, those first that serve most cheaply; among equals by name. */
export function inOrderOfCost(servers: readonly Prospect[]): Prospect[] {
  return servers
    .filter((server) => server.canBeChosen)
    .sort((a, b) => a.cost - b.cost || (a.name < b.name ? -1 : 1));
}

export interface Need {
  readonly rps: number;
  /** Servers, however little they would have to do. */
  readonly minimum: number;
}

/** The first servers of the order that together meet the need; one that can't be counted on is taken, not counted. */
export function pick(order: readonly Prospect[], need: Need): Prospect[] {
  const chosen: Prospect[] = [];
  let capacityRps = 0;
  let counted = 0;
  for (const server of order) {
    if (counted >= need.minimum && capacityRps >= need.rps) break;
    chosen.push(server);
    if (!server.counts) continue;
    counted += 1;
    capacityRps += server.capacityRps;
  }
  return chosen;
}

export function withSpares(
  chosen: readonly Prospect[],
  order: readonly Prospect[],
  spareServers: number,
): Prospect[] {
  if (spareServers === 0) return [...chosen];
  const known = new Set(chosen);
  return [...chosen, ...order.filter((server) => !known.has(server)).slice(0, spareServers)];
}

/** Both, each server once; of `others` the cordoned are left out. */
export function union(chosen: readonly Prospect[], others: readonly Prospect[]): Prospect[] {
  const known = new Set(chosen);
  return [...chosen, ...others.filter((server) => !known.has(server) && !server.isCordoned)];
}

export function capacityOf(servers: readonly Prospect[]): number {
  return servers.reduce((sum, server) => sum + server.capacityRps, 0);
}
