import {
  boundRefusals,
  expectedSetupMs,
  type Fleet,
  failedItsDrill,
  type Health,
  isWithdrawn,
  type Lifecycle,
  openContradictions,
  orderNow,
  type PowerState,
  type ServerView,
  serverViewOf,
} from '../../libs/domain/mod.ts';

/**
 * Why a server is in its state: a key into the page's dictionary, and what the history says itself, in its own words.
 * `by` and `untilMs` are of a cordon or an order of the operator.
 */
export interface Why {
  readonly key:
    | 'needed'
    | 'notNeeded'
    | 'nothingDecided'
    | 'wanted'
    | 'paused'
    | 'heldBack'
    | 'cordoned'
    | 'cordonedUntil'
    | 'orderedAwake'
    | 'orderedAsleep'
    | 'unhealthy'
    | 'withdrawn'
    | 'waking'
    | 'wakeOverdue'
    | 'lookedAt'
    | 'drill'
    | 'draining'
    | 'stopping'
    | 'mending'
    | 'asleep'
    | 'failed'
    | 'quarantined';
  readonly said?: string;
  readonly by?: string;
  readonly untilMs?: number;
}

/** One server as the rack shows it. JSON; times are epoch ms, rates requests/s. */
export interface Tile {
  readonly name: string;
  readonly pool: string;
  readonly lifecycle: Lifecycle;
  readonly sinceMs: number;
  readonly powerState: PowerState;
  readonly health: Health;
  readonly cordoned: boolean;
  readonly capacityRps: number;
  readonly why: Why;
  /** While it wakes: when it should be ready, by its own past. */
  readonly readyAtMs?: number;
  /** From a wake to ready, by its own past. */
  readonly setupMs: number;
  readonly failedItsDrill?: true;
  readonly contradictions?: readonly string[];
  readonly traceId?: string;
  /** What the telemetry says, where it does. */
  readonly watts?: number;
  readonly meter?: 'measured' | 'modelled';
  readonly rps?: number;
  readonly inFlight?: number;
}

/** What is known of a server beside its history. */
export interface Readings {
  readonly watts?: number;
  readonly meter?: 'measured' | 'modelled';
  readonly rps?: number;
  readonly inFlight?: number;
}

/** A server's tile; undefined when the fleet does not know it. Pure. */
export function tileOf(fleet: Fleet, name: string, readings: Readings, nowMs: number): Tile | undefined {
  const view = serverViewOf(fleet, name);
  if (!view) return undefined;
  const { state, config } = view;
  const setupMs = expectedSetupMs(view);
  const traceparent = state.wake?.traceparent ?? state.sleep?.traceparent;
  const traceId = traceparent?.split('-')[1];
  const contradictions = openContradictions(state);
  return {
    name,
    pool: state.pool,
    lifecycle: state.lifecycle,
    sinceMs: state.sinceMs,
    powerState: state.powerState,
    health: state.health,
    cordoned: state.cordoned,
    capacityRps: config.capacityRps,
    why: whyOf(fleet, view, nowMs),
    ...(state.wake ? { readyAtMs: state.wake.requestedAtMs + setupMs } : {}),
    setupMs,
    ...(failedItsDrill(state) ? { failedItsDrill: true } : {}),
    ...(contradictions.length > 0 ? { contradictions } : {}),
    ...(traceId === undefined ? {} : { traceId }),
    ...readings,
  };
}

/** At rest in these, only the operator's cordon says why it stays so. */
const atRest = new Set<Lifecycle>(['ready', 'asleep', 'failed', 'quarantined']);

function whyOf(fleet: Fleet, view: ServerView, nowMs: number): Why {
  const { state } = view;
  if (state.cordon && atRest.has(state.lifecycle)) {
    const { by, reason, untilMs } = state.cordon;
    const about = { by, said: reason };
    return untilMs === undefined
      ? { key: 'cordoned', ...about }
      : { key: 'cordonedUntil', ...about, untilMs };
  }
  switch (state.lifecycle) {
    case 'ready':
      return whyReady(fleet, view, nowMs);
    case 'waking':
      if (state.drills?.underWay) return { key: 'drill' };
      if (!state.wake) return { key: 'lookedAt' };
      return {
        key: state.wake.overdueAtMs === undefined ? 'waking' : 'wakeOverdue',
        said: state.wake.reason,
      };
    case 'draining':
      return said(state.sleep?.mend ? 'mending' : 'draining', state.sleep?.reason);
    case 'stopping':
      return said(state.sleep?.mend ? 'mending' : 'stopping', state.sleep?.reason);
    case 'asleep': {
      const order = orderNow(state, nowMs);
      if (order?.wants === 'asleep') return ordered('orderedAsleep', order);
      return { key: isInTarget(fleet, state.pool, state.name) ? 'wanted' : 'asleep' };
    }
    case 'failed':
      return { key: 'failed' };
    case 'quarantined':
      return {
        key: 'quarantined',
        ...(state.quarantinedUntilMs === undefined ? {} : { untilMs: state.quarantinedUntilMs }),
      };
  }
}

function whyReady(fleet: Fleet, view: ServerView, nowMs: number): Why {
  const { state } = view;
  const order = orderNow(state, nowMs);
  if (state.health === 'unhealthy') return { key: 'unhealthy' };
  if (isWithdrawn(state)) return { key: 'withdrawn' };
  if (order?.wants === 'awake') return ordered('orderedAwake', order);
  const pool = fleet.pools[state.pool];
  if (!pool?.decision) return { key: 'nothingDecided' };
  if (isInTarget(fleet, state.pool, state.name)) return { key: 'needed' };
  if (pool.paused) return { key: 'paused' };
  const [bound] = fleet.config ? boundRefusals(view, fleet.config.bounds, nowMs) : [];
  return bound ? { key: 'heldBack', said: bound.reason } : { key: 'notNeeded' };
}

/** The targets as sets: a pool may have thousands, and each of its servers asks. */
const targets = new WeakMap<readonly string[], ReadonlySet<string>>();

function isInTarget(fleet: Fleet, pool: string, server: string): boolean {
  const target = fleet.pools[pool]?.decision?.target;
  if (!target) return false;
  const known = targets.get(target) ?? new Set(target);
  targets.set(target, known);
  return known.has(server);
}

function said(key: Why['key'], reason: string | undefined): Why {
  return reason === undefined ? { key } : { key, said: reason };
}

function ordered(key: Why['key'], order: { by: string; reason: string; untilMs: number }): Why {
  return { key, by: order.by, said: order.reason, untilMs: order.untilMs };
}

const collator = new Intl.Collator('en', { numeric: true });

/** `server-9` before `server-10`. */
export function byNumber(a: string, b: string): number {
  return collator.compare(a, b);
}
