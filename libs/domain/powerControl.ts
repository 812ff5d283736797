import type { Bounds } from '../events/mod.ts';
import { planDrill } from './drillPlan.ts';
import { floorOf, type ServerView, serversOfPool } from './fleet.ts';
import { expiredCordonMs, orderNow } from './hand.ts';
import { poolFactsOf } from './poolFacts.ts';
import type { PowerAction, PowerContext, Wanted } from './powerAction.ts';
import { boundRefusals, mendBound, validDecision } from './sleepPermission.ts';
import { continueDrain, continueStop, tryMend, trySleep, trySleepIfOn } from './sleepPlan.ts';
import { continueWake, quarantine } from './wakeLadder.ts';
import { wantedServers } from './wanted.ts';

/** Something that is wanted and waits, by the bound that holds it back. */
export interface HeldBack {
  readonly server: string;
  readonly pool: string;
  /** The setting's name. */
  readonly bound: string;
  readonly reason: string;
}

/**
 * Compares each server with what the decision wants and says what to do next; nothing to do gives an empty list.
 * Level-triggered: called again and again, it reaches the same end whatever was lost or repeated between.
 */
export function planPower(context: PowerContext): PowerAction[] {
  return weigh(context).actions;
}

/** What a named bound holds back now, for whoever wonders why nothing happens. */
export function heldBack(context: PowerContext): HeldBack[] {
  return weigh(context).held;
}

function weigh(context: PowerContext): { actions: PowerAction[]; held: HeldBack[] } {
  const { fleet } = context;
  const actions: PowerAction[] = [];
  const held: HeldBack[] = [];
  const bounds = fleet.config?.bounds;
  if (!bounds) return { actions, held };
  const slots = wakeSlots(context, bounds);
  for (const poolName of Object.keys(fleet.config?.pools ?? {})) {
    const wanted = wantedServers(fleet, poolName, context.nowMs);
    let drills = 0;
    for (const server of serversOfPool(fleet, poolName)) {
      const action = planServer(context, server, wanted);
      if (server.state.drills?.underWay) drills += 1;
      const bound = action
        ? (slots.refuses(server, action) ?? actionBound(context, server, action, bounds))
        : (sleepBound(context, server, wanted, bounds) ?? mendBound(server, bounds, context.nowMs));
      if (bound) held.push({ server: server.state.name, pool: poolName, ...bound });
      // One fire drill of a pool at a time: it takes a slot from nobody who is needed.
      if (action?.kind === 'startDrill' && ++drills > 1) continue;
      if (action && !bound) actions.push(action);
    }
  }
  return { actions: oneSleepAtATime(actions), held };
}

/** Two sleeps asked for in one breath could each rely on the other server to stay. */
function oneSleepAtATime(actions: readonly PowerAction[]): PowerAction[] {
  const first = actions.find((action) => action.kind === 'requestSleep');
  return actions.filter((action) => action.kind !== 'requestSleep' || action === first);
}

type Bound = Pick<HeldBack, 'bound' | 'reason'>;

/**
 * Counts the machines that boot, per pool and per power feed. A wake that is overdue must not keep its substitute
 * waiting, so those count only from twice the bound on.
 */
function wakeSlots({ fleet, nowMs }: PowerContext, bounds: Bounds) {
  const pools = new Map<string, { fresh: number; all: number }>();
  const feeds = new Map<string, { fresh: number; all: number }>();
  const count = (map: typeof pools, key: string | undefined, isFresh: boolean) => {
    if (key === undefined) return;
    const { fresh, all } = map.get(key) ?? { fresh: 0, all: 0 };
    map.set(key, { fresh: fresh + (isFresh ? 1 : 0), all: all + 1 });
  };
  const isFull = (map: typeof pools, key: string, bound: number) => {
    const { fresh, all } = map.get(key) ?? { fresh: 0, all: 0 };
    return fresh >= bound || all >= bound * 2;
  };
  for (const poolName of Object.keys(fleet.config?.pools ?? {})) {
    for (const { state, config } of serversOfPool(fleet, poolName)) {
      if (state.lifecycle !== 'waking' || !state.wake) continue;
      const isFresh = state.wake.overdueAtMs === undefined;
      count(pools, poolName, isFresh);
      count(feeds, config.feed, isFresh);
    }
  }
  return {
    /** The bound that holds this wake back; when none does, its slot is taken. */
    refuses({ state, config }: ServerView, action: PowerAction): Bound | undefined {
      if (action.kind !== 'requestWake') return undefined;
      const { maxConcurrentWakes, maxConcurrentWakesPerFeed, minAsleepMs } = bounds;
      if (isFull(pools, state.pool, maxConcurrentWakes)) {
        const reason = `${maxConcurrentWakes} servers of the pool are booting`;
        return { bound: 'maxConcurrentWakes', reason };
      }
      if (config.feed && isFull(feeds, config.feed, maxConcurrentWakesPerFeed)) {
        const reason = `${maxConcurrentWakesPerFeed} servers on feed ${config.feed} are booting`;
        return { bound: 'maxConcurrentWakesPerFeed', reason };
      }
      const asleepMs = nowMs - state.sinceMs;
      if (state.lifecycle === 'asleep' && asleepMs < minAsleepMs && !isFloorAtStake(state.pool)) {
        return { bound: 'minAsleepMs', reason: `asleep for ${asleepMs} ms of at least ${minAsleepMs} ms` };
      }
      count(pools, state.pool, true);
      count(feeds, config.feed, true);
      return undefined;
    },
  };

  /** Without a decision, or with fewer awake than the floor, no rest is granted. */
  function isFloorAtStake(poolName: string): boolean {
    const { awake } = poolFactsOf(fleet, poolName);
    return awake < floorOf(fleet, poolName) || !validDecision(fleet, poolName, nowMs);
  }
}

/** Too many commands to one server in a minute: a BMC that is asked too much stops answering. */
function actionBound(
  { nowMs }: PowerContext,
  { state }: ServerView,
  action: PowerAction,
  { maxActionsPerMinute }: Bounds,
): Bound | undefined {
  if (action.kind !== 'attemptWake' && action.kind !== 'attemptSleep') return undefined;
  const lately = state.actionsAtMs.filter((timeMs) => nowMs - timeMs < 60_000).length;
  if (lately < maxActionsPerMinute) return undefined;
  return { bound: 'maxActionsPerMinute', reason: `${lately} commands were sent to it in the last minute` };
}

function sleepBound(
  { nowMs }: PowerContext,
  server: ServerView,
  wanted: Wanted,
  bounds: Bounds,
): Bound | undefined {
  const { state } = server;
  if (state.lifecycle !== 'ready' || wanted.servers.has(state.name) || state.cordoned) return undefined;
  return boundRefusals(server, bounds, nowMs)[0];
}

function planServer(context: PowerContext, server: ServerView, wanted: Wanted): PowerAction | undefined {
  const { state, config } = server;
  const expiredMs = expiredCordonMs(state, context.nowMs);
  if (expiredMs !== undefined) return { kind: 'endCordon', server: state.name, untilMs: expiredMs };
  if (state.cordoned || config.power.length === 0) return undefined;
  const drill = planDrill(context, server);
  if (drill && drill.kind !== 'startDrill') return drill;
  const inDrill = state.drills?.underWay !== undefined;
  const isWanted = wanted.servers.has(state.name) || inDrill;
  const wake = (): PowerAction => {
    const order = orderNow(state, context.nowMs);
    const drilled = inDrill && !wanted.servers.has(state.name);
    const ordered = order?.wants === 'awake' ? `${order.by} ordered it: ${order.reason}` : undefined;
    const reason = drilled ? 'fire drill' : (ordered ?? wanted.reason);
    return { kind: 'requestWake', server: state.name, reason, ...traceOf(wanted) };
  };
  switch (state.lifecycle) {
    case 'waking':
      if (state.wake) return continueWake(context, server, state.wake);
      // On without our wake: it gets the time of a wake to show life.
      if (context.nowMs - state.sinceMs < config.wakeTimeoutMs) return undefined;
      return isWanted ? wake() : trySleep(context, server, wanted);
    case 'ready':
      if (isWanted) return tryMend(context, server);
      return trySleep(context, server, wanted) ?? tryMend(context, server);
    case 'draining':
      return state.sleep ? continueDrain(context, server, state.sleep, isWanted) : undefined;
    case 'stopping': {
      const next = continueStop(context, server, isWanted);
      return next === 'wake' ? wake() : next;
    }
    case 'asleep':
      return isWanted ? wake() : drill;
    case 'failed':
      if (state.failedWakes > 0) return quarantine(context, server);
      return isWanted ? wake() : trySleepIfOn(context, server, wanted);
    case 'quarantined':
      if (!isWanted) return trySleepIfOn(context, server, wanted);
      if (context.nowMs < (state.quarantinedUntilMs ?? 0)) return undefined;
      return tryMend(context, server) ?? wake();
  }
}

function traceOf(from: { readonly traceparent?: string }): { traceparent?: string } {
  return from.traceparent ? { traceparent: from.traceparent } : {};
}
