import type { FleetConfig } from '../events/mod.ts';
import { type Bookmark, bookmarkAt, changedSince } from './changes.ts';
import { type Fleet, membersOf } from './fleet.ts';
import { type Prospect, prospectHoldsUntilMs, prospectOf } from './selection.ts';

/** The servers of a pool, as a decision goes over them. */
export interface Candidates {
  /** All, in the order of their names. */
  readonly all: readonly Prospect[];
  /** Those that may be chosen, those first that serve most cheaply; among equals by name. */
  readonly inOrderOfCost: readonly Prospect[];
}

const none: Candidates = { all: [], inOrderOfCost: [] };

/**
 * What was made of a pool last: of thousands of servers few change from one decision to the next. Arrays go by a
 * server's place among the pool's by name.
 */
interface PoolMemory {
  readonly places: ReadonlyMap<string, number>;
  readonly prospects: (Prospect | undefined)[];
  /** While its state stays, so does the prospect of a server, from here up to `untilMs` (epoch ms). */
  readonly fromMs: Float64Array;
  readonly untilMs: Float64Array;
  readFrom?: Bookmark;
  /** By cost, those that may not be chosen too. */
  order: readonly Prospect[];
  candidates: Candidates;
}

const memories = new WeakMap<FleetConfig, Map<string, PoolMemory>>();

function memoryOf(config: FleetConfig, poolName: string): PoolMemory {
  const byPool = memories.get(config) ?? new Map<string, PoolMemory>();
  memories.set(config, byPool);
  const known = byPool.get(poolName);
  if (known) return known;
  const members = membersOf(config, poolName);
  const memory: PoolMemory = {
    places: new Map(members.map((name, place) => [name, place])),
    prospects: new Array(members.length).fill(undefined),
    fromMs: new Float64Array(members.length),
    untilMs: new Float64Array(members.length),
    order: [],
    candidates: none,
  };
  byPool.set(poolName, memory);
  return memory;
}

/** The servers of a pool as the planner sees them. None for an unknown pool. Pure, but for what it remembers. */
export function candidatesOf(fleet: Fleet, poolName: string, nowMs: number): Candidates {
  const { config, servers } = fleet;
  const pool = config?.pools[poolName];
  if (!config || !pool) return none;
  const memory = memoryOf(config, poolName);
  const changed = changedPlaces(memory, servers, nowMs);
  memory.readFrom = bookmarkAt(servers);
  if (changed.length === 0) return memory.candidates;
  const members = membersOf(config, poolName);
  for (const place of changed) {
    const name = members[place] ?? '';
    const state = servers[name];
    const serverConfig = config.servers[name];
    memory.prospects[place] = undefined;
    memory.fromMs[place] = Number.NEGATIVE_INFINITY;
    memory.untilMs[place] = Number.POSITIVE_INFINITY;
    if (!state || !serverConfig) continue;
    const server = { state, config: serverConfig, pool };
    const prospect = prospectOf(server, place, nowMs);
    memory.prospects[place] = prospect;
    memory.fromMs[place] = nowMs;
    memory.untilMs[place] = prospectHoldsUntilMs(server, prospect, nowMs);
  }
  reorder(memory, changed);
  return memory.candidates;
}

/** The places of those that changed or that time has made others of; each once. */
function changedPlaces(memory: PoolMemory, servers: Fleet['servers'], nowMs: number): readonly number[] {
  const { places, fromMs, untilMs } = memory;
  const names = changedSince(servers, memory.readFrom);
  if (!names) return [...places.values()];
  const changed = new Set<number>();
  for (const name of names) {
    const place = places.get(name);
    if (place !== undefined) changed.add(place);
  }
  for (let place = 0; place < untilMs.length; place += 1) {
    if (nowMs >= (untilMs[place] ?? 0) || nowMs < (fromMs[place] ?? 0)) changed.add(place);
  }
  return [...changed];
}

/** Puts the changed ones where they belong among the others, which are in order already. */
function reorder(memory: PoolMemory, changed: readonly number[]): void {
  const { prospects, order: before } = memory;
  const isChanged = new Uint8Array(prospects.length);
  const fresh: Prospect[] = [];
  for (const place of changed) {
    isChanged[place] = 1;
    const prospect = prospects[place];
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
  for (const prospect of prospects) if (prospect) all.push(prospect);
  memory.order = order;
  memory.candidates = { all, inOrderOfCost };
}

function isBefore(a: Prospect, b: Prospect): boolean {
  return a.cost === b.cost ? a.place < b.place : a.cost < b.cost;
}
