import { capacityRpsOf } from './capacity.ts';
import { isInStorm } from './contradictions.ts';
import { breakEvenMs } from './energy.ts';
import type { ServerView } from './fleet.ts';
import { orderNow } from './hand.ts';
import { isWithdrawn } from './heartbeat.ts';
import { takesRequests } from './routing.ts';
import type { Lifecycle } from './server.ts';
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

/** @param place of the server among its pool's by name. */
export function prospectOf(server: ServerView, place: number, nowMs: number): Prospect {
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

/** Until when (epoch ms) time alone makes nothing else of it; Infinity: for good. */
export function prospectHoldsUntilMs(
  { state }: ServerView,
  { setupTimeMs }: Prospect,
  nowMs: number,
): number {
  const overdueAtMs =
    state.lifecycle === 'waking' ? state.sinceMs + setupTimeMs * overdueSetupTimes : undefined;
  let untilMs = Number.POSITIVE_INFINITY;
  for (const endMs of [overdueAtMs, state.quarantinedUntilMs, state.order?.untilMs]) {
    if (endMs !== undefined && endMs >= nowMs) untilMs = Math.min(untilMs, endMs);
  }
  return untilMs;
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

/** The first servers of the order that together meet the need; one that can't be counted on is taken, not counted. */
export function pick(order: readonly Prospect[], need: Need): Prospect[] {
  let capacityRps = 0;
  let counted = 0;
  let taken = 0;
  for (const server of order) {
    if (counted >= need.minimum && capacityRps >= need.rps) break;
    taken += 1;
    if (!server.counts) continue;
    counted += 1;
    capacityRps += server.capacityRps;
  }
  return order.slice(0, taken);
}

/** Some of a pool's servers, each once. */
export interface Selection {
  readonly servers: readonly Prospect[];
  /** Theirs, in order; no sort of strings, which is slow for thousands. */
  names(): string[];
  add(servers: readonly Prospect[]): void;
  /** Adds the first `count` of the order that are not in it yet. */
  addFirst(order: readonly Prospect[], count: number): void;
}

/** @param all servers of the pool, in the order of their names. */
export function createSelection(all: readonly Prospect[]): Selection {
  const servers: Prospect[] = [];
  const isChosen = new Uint8Array((all.at(-1)?.place ?? -1) + 1);
  const addOne = (server: Prospect): boolean => {
    if (isChosen[server.place] === 1) return false;
    isChosen[server.place] = 1;
    servers.push(server);
    return true;
  };
  return {
    servers,
    names() {
      const names: string[] = [];
      for (const { place, name } of all) if (isChosen[place] === 1) names.push(name);
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
