import type { FleetConfig } from '../events/mod.ts';
import { capacityRpsOf } from './capacity.ts';
import { isInStorm } from './contradictions.ts';
import { breakEvenMs } from './energy.ts';
import { type Fleet, membersOf, type ServerView } from './fleet.ts';
import { orderNow } from './hand.ts';
import { isWithdrawn } from './heartbeat.ts';
import { takesRequests } from './routing.ts';
import type { Lifecycle, ServerState } from './server.ts';
import { isCountedOn } from './wakeLadder.ts';
import type { WakeRecord } from './wakeRecord.ts';

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
  /** Its place among the pool's servers by name. */
  readonly place: number;
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
  readonly wakeRecord: WakeRecord | undefined;
}

function prospectOf(server: ServerView, place: number, nowMs: number): Prospect {
  const { state, pool, config } = server;
  const setupTimeMs = expectedSetupMs(server);
  const capacityRps = capacityRpsOf(state, pool, config);
  const breakEven = breakEvenMs(config.energy, setupTimeMs);
  return {
    name: state.name,
    place,
    capacityRps,
    cost: costOf(server, capacityRps, breakEven, setupTimeMs),
    setupTimeMs,
    breakEvenMs: breakEven,
    lifecycle: state.lifecycle,
    isUnhealthy: state.health === 'unhealthy',
    isCordoned: state.cordoned,
    takesRequests: takesRequests(state),
    canBeChosen: canBeChosen(server, nowMs),
    counts: counts(server, setupTimeMs, nowMs),
    isAwake: isAwake(server),
    wakeRecord: state.wakeRecord,
  };
}

interface Known {
  readonly state: ServerState;
  readonly prospect: Prospect;
  /** While the state stays, so does the prospect, from here up to `untilMs` (epoch ms). */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** The servers of a pool, as a decision goes over them. */
export interface Candidates {
  /** All, in the order of their names. */
  readonly all: readonly Prospect[];
  /** Those that may be chosen, those first that serve most cheaply; among equals by name. */
  readonly inOrderOfCost: readonly Prospect[];
}

/** What was made of a pool last: most servers do not change from one decision to the next. */
interface PoolMemory {
  readonly known: (Known | undefined)[];
  /** Those that may not be chosen too. */
  order: readonly Prospect[];
  candidates: Candidates;
}

const memories = new WeakMap<FleetConfig, Map<string, PoolMemory>>();

function memoryOf(config: FleetConfig, poolName: string): PoolMemory {
  const byPool = memories.get(config) ?? new Map<string, PoolMemory>();
  memories.set(config, byPool);
  const memory = byPool.get(poolName) ?? { known: [], order: [], candidates: { all: [], inOrderOfCost: [] } };
  byPool.set(poolName, memory);
  return memory;
}

/** The servers of a pool as the planner sees them. None for an unknown pool. Pure, but for what it remembers. */
export function candidatesOf(fleet: Fleet, poolName: string, nowMs: number): Candidates {
  const { config, servers } = fleet;
  const pool = config?.pools[poolName];
  if (!config || !pool) return { all: [], inOrderOfCost: [] };
  const memory = memoryOf(config, poolName);
  const { known } = memory;
  const members = membersOf(config, poolName);
  const changed: number[] = [];
  for (let place = 0; place < members.length; place += 1) {
    const name = members[place] ?? '';
    const state = servers[name];
    const last = known[place];
    if (last ? last.state === state && nowMs >= last.fromMs && nowMs < last.untilMs : !state) continue;
    changed.push(place);
    const serverConfig = config.servers[name];
    known[place] =
      state && serverConfig ? knownOf({ state, config: serverConfig, pool }, place, nowMs) : undefined;
  }
  if (changed.length > 0) reorder(memory, changed);
  return memory.candidates;
}

function knownOf(server: ServerView, place: number, nowMs: number): Known {
  const { state } = server;
  const prospect = prospectOf(server, place, nowMs);
  const overdueAtMs =
    state.lifecycle === 'waking' ? state.sinceMs + prospect.setupTimeMs * overdueSetupTimes : undefined;
  let untilMs = Number.POSITIVE_INFINITY;
  for (const endMs of [overdueAtMs, state.quarantinedUntilMs, state.order?.untilMs]) {
    if (endMs !== undefined && endMs >= nowMs) untilMs = Math.min(untilMs, endMs);
  }
  return { state, prospect, fromMs: nowMs, untilMs };
}

/** Puts the changed ones where they belong among the others, which are in order already. */
function reorder(memory: PoolMemory, changed: readonly number[]): void {
  const { known, order: before } = memory;
  const isChanged = new Uint8Array(known.length);
  const fresh: Prospect[] = [];
  for (const place of changed) {
    isChanged[place] = 1;
    const prospect = known[place]?.prospect;
    if (prospect) fresh.push(prospect);
  }
  fresh.sort((a, b) => (isBefore(a, b) ? -1 : 1));
  const order: Prospect[] = [];
  const inOrderOfCost: Prospect[] = [];
  const take = (prospect: Prospect) => {
    order.push(prospect);
    if (prospect.canBeChosen) inOrderOfCost.push(prospect);
  };
  let taken = 0;
  for (const old of before) {
    if (isChanged[old.place] === 1) continue;
    for (let next = fresh[taken]; next && isBefore(next, old); next = fresh[taken]) {
      take(next);
      taken += 1;
    }
    take(old);
  }
  for (const next of fresh.slice(taken)) take(next);
  const all: Prospect[] = [];
  for (const one of known) if (one) all.push(one.prospect);
  memory.order = order;
  memory.candidates = { all, inOrderOfCost };
}

function isBefore(a: Prospect, b: Prospect): boolean {
  return a.cost === b.cost ? a.place < b.place : a.cost < b.cost;
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
function costOf(
  { state, config }: ServerView,
  capacityRps: number,
  breakEven: number,
  setupTimeMs: number,
): number {
  const { energy } = config;
  const mustBeWoken = state.lifecycle === 'asleep' || state.lifecycle === 'stopping';
  const wakeWatts =
    mustBeWoken && breakEven > 0 ? (energy.setupWatts * setupTimeMs) / (repaidBreakEvens * breakEven) : 0;
  const failedWatts = 1_000 * state.failedWakes;
  return (energy.busyWatts + wakeWatts + inconvenienceWatts[state.lifecycle] + failedWatts) / capacityRps;
}

export interface Need {
  readonly rps: number;
  /** Servers, however little they would have to do. */
  readonly minimum: number;
}

/**
 * The first servers of the order that together meet the need; one that can't be counted on is taken, not counted.
 * @param isAllowed leaves out the others; default: none.
 */
export function pick(
  order: readonly Prospect[],
  need: Need,
  isAllowed: (server: Prospect) => boolean = () => true,
): Prospect[] {
  const chosen: Prospect[] = [];
  let capacityRps = 0;
  let counted = 0;
  for (const server of order) {
    if (counted >= need.minimum && capacityRps >= need.rps) break;
    if (!isAllowed(server)) continue;
    chosen.push(server);
    if (!server.counts) continue;
    counted += 1;
    capacityRps += server.capacityRps;
  }
  return chosen;
}

/** Some of a pool's servers, each once. */
export interface Selection {
  readonly servers: readonly Prospect[];
  /** Theirs, in order; no sort of strings, which is slow for thousands. */
  names(): string[];
  add(servers: Iterable<Prospect>): void;
  /** Adds the first `count` of the order that are not in it yet. */
  addFirst(order: readonly Prospect[], count: number): void;
}

/** @param size of the pool: an array that grows from a far end would become a slow one. */
export function createSelection(size: number): Selection {
  const servers: Prospect[] = [];
  const byPlace = new Array<Prospect | undefined>(size).fill(undefined);
  const addOne = (server: Prospect): boolean => {
    if (byPlace[server.place]) return false;
    byPlace[server.place] = server;
    servers.push(server);
    return true;
  };
  return {
    servers,
    names() {
      const names: string[] = [];
      for (const server of byPlace) if (server) names.push(server.name);
      return names;
    },
    add(others) {
      for (const server of others) addOne(server);
    },
    addFirst(order, count) {
      let missing = count;
      for (const server of order) {
        if (missing <= 0) break;
        if (addOne(server)) missing -= 1;
      }
    },
  };
}

/** Requests/s that those take together which can be counted on. */
export function capacityOf(servers: readonly Prospect[]): number {
  return servers.reduce((sum, server) => sum + (server.counts ? server.capacityRps : 0), 0);
}
