import type { FleetConfig, PoolConfig, RecordedEvent, ServerConfig } from '../events/mod.ts';
import { noteChange } from './changes.ts';
import { cordonOf } from './hand.ts';
import { evolveServer, newServer, type ServerState } from './server.ts';

export interface DecisionState {
  readonly sequence: number;
  readonly target: readonly string[];
  readonly decidedAtMs: number;
  readonly validForMs: number;
  readonly reason: string;
  readonly traceparent?: string;
}

export interface PoolState {
  readonly name: string;
  readonly decision?: DecisionState;
  /** At least so many servers are kept awake, by the operator's hand. */
  readonly pinnedServers?: number;
  /** The planner puts nothing to sleep, by the operator's hand. */
  readonly paused: boolean;
  /** The end of the last hour whose energy is in the history, in epoch ms. */
  readonly energyAccountedToMs?: number;
  /** Since when the power service wakes by itself, because nobody decides. Epoch ms. */
  readonly failAwakeSinceMs?: number;
}

/** The fleet as the history tells it: the fold of every event up to and with `sequence`. JSON all through. */
export interface Fleet {
  readonly sequence: number;
  readonly config: FleetConfig | undefined;
  readonly configuredAtMs: number;
  readonly servers: Readonly<Record<string, ServerState>>;
  readonly pools: Readonly<Record<string, PoolState>>;
  /** The last sequence on each subject that has one writer: the fence of the next write. */
  readonly lastSequences: Readonly<Record<string, number>>;
}

/** Counts up whenever the shape of `Fleet` changes: older snapshots are then thrown away and history is replayed. */
export const fleetSchemaVersion = 4;

export function initialFleet(): Fleet {
  return { sequence: 0, config: undefined, configuredAtMs: 0, servers: {}, pools: {}, lastSequences: {} };
}

/** Pure fold of one event. Copies the top level; for long histories use `foldInto`. */
export function evolve(fleet: Fleet, event: RecordedEvent): Fleet {
  const copy = copyFleet(fleet);
  foldInto(copy, event);
  return copy;
}

/** A fleet of its own to fold into: what `foldInto` changes is copied, everything below is shared. */
export function copyFleet(fleet: Fleet): Fleet {
  return {
    ...fleet,
    servers: { ...fleet.servers },
    pools: { ...fleet.pools },
    lastSequences: { ...fleet.lastSequences },
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface FleetUnderFold extends Mutable<Omit<Fleet, 'servers' | 'pools' | 'lastSequences'>> {
  servers: Record<string, ServerState>;
  pools: Record<string, PoolState>;
  lastSequences: Record<string, number>;
}

/**
 * The same fold, in place, for the owner of a `Fleet`: a replay of a million events must not copy a map of
 * 2,000 servers a million times. Events at or before `fleet.sequence` are ignored, so a fold is idempotent.
 */
export function foldInto(fleet: Fleet, event: RecordedEvent): void {
  if (event.stream !== 'FLEET' || event.sequence <= fleet.sequence) return;
  const own = fleet as FleetUnderFold;
  own.sequence = event.sequence;
  own.lastSequences[event.subject] = event.sequence;
  if (event.type === 'FleetConfigured') {
    configure(own, event.data.config, event.timeMs);
  } else if ('server' in event.data) {
    const server = lookUp(own.servers, event.data.server);
    if (!server) return;
    own.servers[server.name] = evolveServer(server, event);
    noteChange(own.servers, server.name);
  } else if ('pool' in event.data) {
    const pool = lookUp(own.pools, event.data.pool);
    if (pool) own.pools[pool.name] = evolvePool(pool, event);
  }
}

/** A name may be `constructor`, which every object seems to have. */
function lookUp<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** Steps over a message that is no event: it changes nothing, but the next writer on its subject must know of it. */
export function skipInto(fleet: Fleet, subject: string, sequence: number): void {
  if (sequence <= fleet.sequence) return;
  const own = fleet as FleetUnderFold;
  own.sequence = sequence;
  own.lastSequences[subject] = sequence;
}

function configure(fleet: FleetUnderFold, config: FleetConfig, nowMs: number): void {
  const servers: Record<string, ServerState> = {};
  for (const [name, { pool, url }] of Object.entries(config.servers)) {
    const known = lookUp(fleet.servers, name);
    const moved = known !== undefined && fleet.config?.servers[name]?.url !== url;
    if (!known) servers[name] = newServer(name, pool, nowMs);
    else if (moved) servers[name] = { ...newServer(name, pool, nowMs), ...cordonOf(known) };
    else servers[name] = known.pool === pool ? known : { ...known, pool };
  }
  const pools: Record<string, PoolState> = {};
  for (const name of Object.keys(config.pools))
    pools[name] = lookUp(fleet.pools, name) ?? { name, paused: false };
  fleet.servers = servers;
  fleet.pools = pools;
  fleet.config = config;
  fleet.configuredAtMs = nowMs;
}

function evolvePool(pool: PoolState, event: RecordedEvent): PoolState {
  switch (event.type) {
    case 'CapacityDecided': {
      const { target, validForMs, reason } = event.data;
      const trace = event.traceparent ? { traceparent: event.traceparent } : {};
      const decision = {
        sequence: event.sequence,
        target,
        decidedAtMs: event.timeMs,
        validForMs,
        reason,
        ...trace,
      };
      return { ...pool, decision };
    }
    case 'EnergyAccounted':
      return {
        ...pool,
        energyAccountedToMs: Math.max(pool.energyAccountedToMs ?? 0, event.data.toMs),
      };
    case 'FailAwakeStarted':
      return { ...pool, failAwakeSinceMs: pool.failAwakeSinceMs ?? event.timeMs };
    case 'FailAwakeEnded': {
      const { failAwakeSinceMs: _over, ...rest } = pool;
      return rest;
    }
    case 'TargetPinned':
      return { ...pool, pinnedServers: event.data.servers };
    case 'TargetUnpinned': {
      const { pinnedServers: _unpinned, ...rest } = pool;
      return rest;
    }
    case 'PlannerPaused':
      return { ...pool, paused: true };
    case 'PlannerResumed':
      return { ...pool, paused: false };
    default:
      return pool;
  }
}

/** A server's state beside its own and its pool's configuration. */
export interface ServerView {
  readonly state: ServerState;
  readonly config: ServerConfig;
  readonly pool: PoolConfig;
}

/** A server with its configuration; undefined when the fleet does not know it. */
export function serverViewOf(fleet: Fleet, name: string): ServerView | undefined {
  const state = lookUp(fleet.servers, name);
  const config = fleet.config && lookUp(fleet.config.servers, name);
  const pool = config && fleet.config && lookUp(fleet.config.pools, config.pool);
  return state && config && pool ? { state, config, pool } : undefined;
}

/** Which servers each pool has, in the order of their names: made once for a configuration, which never changes. */
const poolMembers = new WeakMap<FleetConfig, ReadonlyMap<string, readonly string[]>>();

/** Names, in order. */
export function membersOf(config: FleetConfig, poolName: string): readonly string[] {
  let members = poolMembers.get(config);
  if (!members) {
    const byPool = new Map<string, string[]>();
    for (const name of Object.keys(config.servers).sort()) {
      const pool = config.servers[name]?.pool ?? '';
      const known = byPool.get(pool);
      if (known) known.push(name);
      else byPool.set(pool, [name]);
    }
    poolMembers.set(config, byPool);
    members = byPool;
  }
  return members.get(poolName) ?? [];
}

/** The servers of a pool in the order of their names. Empty for an unknown pool. */
export function serversOfPool(fleet: Fleet, poolName: string): ServerView[] {
  const pool = fleet.config?.pools[poolName];
  if (!fleet.config || !pool) return [];
  const views: ServerView[] = [];
  for (const name of membersOf(fleet.config, poolName)) {
    const state = fleet.servers[name];
    const config = fleet.config.servers[name];
    if (state && config) views.push({ state, config, pool });
  }
  return views;
}

/** The servers that a pool must always keep awake: its floor, or more when pinned; never more than it has. */
export function floorOf(fleet: Fleet, poolName: string): number {
  const configured = fleet.config?.pools[poolName]?.minServers ?? 0;
  const pinned = fleet.pools[poolName]?.pinnedServers ?? 0;
  return Math.min(Math.max(configured, pinned), fleet.config ? membersOf(fleet.config, poolName).length : 0);
}
