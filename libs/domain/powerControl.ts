import type { PowerMethod } from '../events/mod.ts';
import { type Fleet, floorOf, type ServerView, serversOfPool } from './fleet.ts';
import { censusOf, type Liveness } from './liveness.ts';
import type { PowerState, SleepInProgress, WakeInProgress } from './server.ts';
import { sleepRefusals, validDecision } from './sleepPermission.ts';

/** What the power service shall do about one server now. Each is first published as a fact, then carried out. */
export type PowerAction =
  | {
      readonly kind: 'requestWake';
      readonly server: string;
      readonly reason: string;
      readonly traceparent?: string;
    }
  | {
      readonly kind: 'attemptWake';
      readonly server: string;
      readonly wake: WakeInProgress;
      readonly rung: number;
      readonly attempt: number;
    }
  | {
      readonly kind: 'giveUpWake';
      readonly server: string;
      readonly wake: WakeInProgress;
      readonly reason: string;
    }
  | {
      readonly kind: 'quarantine';
      readonly server: string;
      readonly untilMs: number;
      readonly reason: string;
    }
  | {
      readonly kind: 'requestSleep';
      readonly server: string;
      readonly reason: string;
      readonly traceparent?: string;
    }
  | {
      readonly kind: 'attemptSleep';
      readonly server: string;
      readonly sleep: SleepInProgress;
      readonly attempt: number;
      readonly forced: boolean;
    }
  | {
      readonly kind: 'cancelSleep';
      readonly server: string;
      readonly sleep: SleepInProgress;
      readonly reason: string;
    };

export interface PowerContext {
  readonly fleet: Fleet;
  readonly liveness: Liveness;
  readonly nowMs: number;
}

/** Tries of one way to switch a server off before the sleep is called off. */
const maxSleepAttempts = 3;

/**
 * Compares each server with what the decision wants and says what to do next; nothing to do gives an empty list.
 * Level-triggered: called again and again, it reaches the same end whatever was lost or repeated between.
 */
export function planPower(context: PowerContext): PowerAction[] {
  const { fleet } = context;
  const actions: PowerAction[] = [];
  for (const poolName of Object.keys(fleet.config?.pools ?? {})) {
    const wanted = wantedServers(fleet, poolName, context.nowMs);
    const servers = serversOfPool(fleet, poolName);
    let wakesLeft = (fleet.config?.bounds.maxConcurrentWakes ?? 0) - servers.filter(isWaking).length;
    for (const server of servers) {
      const action = planServer(context, server, wanted);
      if (action?.kind === 'requestWake') {
        if (wakesLeft <= 0) continue;
        wakesLeft -= 1;
      }
      if (action) actions.push(action);
    }
  }
  return oneSleepAtATime(actions);
}

/** Two sleeps asked for in one breath could each rely on the other server to stay. */
function oneSleepAtATime(actions: readonly PowerAction[]): PowerAction[] {
  const first = actions.find((action) => action.kind === 'requestSleep');
  return actions.filter((action) => action.kind !== 'requestSleep' || action === first);
}

function isWaking({ state }: ServerView): boolean {
  return state.lifecycle === 'waking' && state.wake !== undefined;
}

interface Wanted {
  readonly servers: ReadonlySet<string>;
  readonly reason: string;
  readonly traceparent?: string;
}

/**
 * The servers that shall be awake. Without a decision within its lease: the floor, and after `failAwakeAfterMs`,
 * if the config says so, the whole pool (fail awake).
 */
export function wantedServers(fleet: Fleet, poolName: string, nowMs: number): Wanted {
  const decision = validDecision(fleet, poolName, nowMs);
  if (decision) {
    const trace = decision.traceparent ? { traceparent: decision.traceparent } : {};
    return { servers: new Set(decision.target), reason: `decided: ${decision.reason}`, ...trace };
  }
  const pool = fleet.config?.pools[poolName];
  const latest = fleet.pools[poolName]?.decision;
  const lostAtMs = latest
    ? latest.decidedAtMs + latest.validForMs
    : fleet.configuredAtMs + (pool?.planner.leaseMs ?? 0);
  // A decision of a clock far ahead is no decision, whenever it says that its lease ends.
  const lostForMs = latest ? Math.max(0, nowMs - lostAtMs) : nowMs - lostAtMs;
  if (!pool || lostForMs < 0) return { servers: new Set(), reason: 'no decision yet' };
  const whole = pool.failAwake === 'pool' && lostForMs >= pool.failAwakeAfterMs;
  return {
    servers: new Set(failAwakeServers(fleet, poolName, whole)),
    reason: `fail awake: no decision of the planner for ${lostForMs} ms past its lease`,
  };
}

/** The floor of a pool, those first that are awake already and those last that failed; or the whole pool. */
export function failAwakeServers(fleet: Fleet, poolName: string, whole: boolean): string[] {
  const servers = serversOfPool(fleet, poolName).filter(({ state }) => !state.cordoned);
  const awakeFirst = [...servers].sort((a, b) => distanceToServing(a) - distanceToServing(b));
  return awakeFirst
    .slice(0, whole ? servers.length : floorOf(fleet, poolName))
    .map(({ state }) => state.name);
}

function distanceToServing({ state }: ServerView): number {
  if (state.lifecycle === 'failed' || state.lifecycle === 'quarantined' || state.health === 'unhealthy')
    return 2;
  return state.lifecycle === 'ready' || state.lifecycle === 'waking' ? 0 : 1;
}

function planServer(context: PowerContext, server: ServerView, wanted: Wanted): PowerAction | undefined {
  const { state, config } = server;
  if (state.cordoned || config.power.length === 0) return undefined;
  const isWanted = wanted.servers.has(state.name);
  switch (state.lifecycle) {
    case 'waking':
      return state.wake
        ? continueWake(context, server, state.wake)
        : adopt(context, server, wanted, isWanted);
    case 'ready':
      return isWanted ? undefined : trySleep(context, server, wanted);
    case 'draining':
      return state.sleep ? continueDrain(context, server, state.sleep, isWanted) : undefined;
    case 'stopping':
      return continueStop(context, server, isWanted ? wanted : undefined);
    case 'asleep':
      return isWanted ? wake(state.name, wanted) : undefined;
    case 'failed':
      if (state.failedWakes > 0) return quarantine(context, server);
      return isWanted ? wake(state.name, wanted) : trySleepIfOn(context, server, wanted);
    case 'quarantined':
      if (!isWanted) return trySleepIfOn(context, server, wanted);
      return context.nowMs >= (state.quarantinedUntilMs ?? 0) ? wake(state.name, wanted) : undefined;
  }
}

function trace(from: { readonly traceparent?: string }): { traceparent?: string } {
  return from.traceparent ? { traceparent: from.traceparent } : {};
}

function wake(name: string, wanted: Wanted): PowerAction {
  return { kind: 'requestWake', server: name, reason: wanted.reason, ...trace(wanted) };
}

/** A server that is on without our wake: it gets the time of a wake to show life. */
function adopt(
  context: PowerContext,
  server: ServerView,
  wanted: Wanted,
  isWanted: boolean,
): PowerAction | undefined {
  if (context.nowMs - server.state.sinceMs < server.config.wakeTimeoutMs) return undefined;
  return isWanted ? wake(server.state.name, wanted) : trySleep(context, server, wanted);
}

function continueWake(
  context: PowerContext,
  server: ServerView,
  wakeNow: WakeInProgress,
): PowerAction | undefined {
  const { state, config } = server;
  const method = config.power[wakeNow.rung];
  const attemptWake = (rung: number, attempt: number): PowerAction => ({
    kind: 'attemptWake',
    server: state.name,
    wake: wakeNow,
    rung,
    attempt,
  });
  if (wakeNow.attempt === 0) return attemptWake(0, 1);
  if (!method) return giveUp(server, wakeNow, 'the wake ladder has become shorter than the rung in use');
  const climb = (why: string) =>
    wakeNow.rung + 1 < config.power.length
      ? attemptWake(wakeNow.rung + 1, 1)
      : giveUp(server, wakeNow, `${why}; the last rung of the wake ladder has failed`);
  const { nowMs } = context;
  if (nowMs - wakeNow.attemptedAtMs >= config.wakeTimeoutMs)
    return climb(`not ready after ${config.wakeTimeoutMs} ms`);
  if (state.powerState === 'on') return undefined;
  if (nowMs - wakeNow.attemptedAtMs < retryAfterMs(method, wakeNow)) return undefined;
  return wakeNow.attempt < method.tries
    ? attemptWake(wakeNow.rung, wakeNow.attempt + 1)
    : climb(`hardware not on after ${method.tries} tries by ${method.driver}`);
}

/** A refused try is repeated with growing distance; one that was taken gets its time to show. */
function retryAfterMs(method: PowerMethod, wakeNow: WakeInProgress): number {
  if (!wakeNow.attemptFailed) return method.confirmTimeoutMs;
  return Math.min(method.confirmTimeoutMs, 1_000 * 2 ** (wakeNow.attempt - 1));
}

function giveUp(server: ServerView, wakeNow: WakeInProgress, reason: string): PowerAction {
  return { kind: 'giveUpWake', server: server.state.name, wake: wakeNow, reason };
}

function quarantine({ fleet, nowMs }: PowerContext, { state }: ServerView): PowerAction {
  const { quarantineMs = 0, maxQuarantineMs = 0 } = fleet.config?.bounds ?? {};
  const durationMs = Math.min(maxQuarantineMs, quarantineMs * 2 ** (state.failedWakes - 1));
  const reason = `wake failed ${state.failedWakes} times in a row; next try in ${durationMs} ms`;
  return { kind: 'quarantine', server: state.name, untilMs: nowMs + durationMs, reason };
}

function trySleep(context: PowerContext, server: ServerView, wanted: Wanted): PowerAction | undefined {
  if (sleepRefusals(context.fleet, server, context.liveness, context.nowMs).length > 0) return undefined;
  return { kind: 'requestSleep', server: server.state.name, reason: wanted.reason, ...trace(wanted) };
}

/** What is on and does not serve only burns; switched off, its next wake is a real boot, which may mend it. */
function trySleepIfOn(context: PowerContext, server: ServerView, wanted: Wanted): PowerAction | undefined {
  return server.state.powerState === 'on' ? trySleep(context, server, wanted) : undefined;
}

function continueDrain(
  context: PowerContext,
  server: ServerView,
  sleep: SleepInProgress,
  isWanted: boolean,
): PowerAction | undefined {
  const cancel = (reason: string): PowerAction => ({
    kind: 'cancelSleep',
    server: server.state.name,
    sleep,
    reason,
  });
  if (isWanted) return cancel('the decision wants it awake again');
  const refusals = sleepRefusals(context.fleet, server, context.liveness, context.nowMs);
  if (refusals.length > 0) return cancel(refusals.join('; '));
  const undrained = undrainedProxies(context, sleep);
  if (undrained.length === 0) {
    return { kind: 'attemptSleep', server: server.state.name, sleep, attempt: 1, forced: false };
  }
  // Each proxy bounds its own drain and says so; one that says nothing twice as long is not to be trusted.
  const overdue = context.nowMs - sleep.requestedAtMs > server.pool.drainTimeoutMs * 2;
  return overdue ? cancel(`no word of the drain from ${undrained.join(', ')}`) : undefined;
}

/**
 * What forbids the power-off of a sleep in progress at this moment, in words; empty: send it. Asked again between
 * the decision and the command, since the two may be far apart.
 */
export function powerRefusals(context: PowerContext, server: ServerView): string[] {
  const { sleep } = server.state;
  if (!sleep) return ['no sleep is in progress'];
  const undrained = undrainedProxies(context, sleep);
  return [
    ...sleepRefusals(context.fleet, server, context.liveness, context.nowMs),
    ...(undrained.length > 0 ? [`not drained by ${undrained.join(', ')}`] : []),
  ];
}

/** The live proxies that have not said that they are done with the server. */
function undrainedProxies({ fleet, liveness, nowMs }: PowerContext, sleep: SleepInProgress): string[] {
  const bounds = fleet.config?.bounds;
  if (!bounds) return ['(not configured)'];
  const { live } = censusOf(liveness, bounds.proxyLeaseMs, bounds.proxyGoneMs, nowMs);
  return live.filter((proxy) => sleep.proxies[proxy] !== 'drained' && sleep.proxies[proxy] !== 'timedOut');
}

function continueStop(
  context: PowerContext,
  server: ServerView,
  wanted: Wanted | undefined,
): PowerAction | undefined {
  const { state, config } = server;
  const { sleep } = state;
  if (state.powerState === 'off' || !sleep) return wanted ? wake(state.name, wanted) : undefined;
  const method = config.power[0];
  if (!method) return undefined;
  const sinceAttemptMs = context.nowMs - sleep.attemptedAtMs;
  if (!sleep.attemptFailed && sinceAttemptMs < method.gracefulOffTimeoutMs) return undefined;
  if (sleep.attemptFailed && sinceAttemptMs < 1_000 * 2 ** (sleep.attempt - 1)) return undefined;
  if (wanted)
    return { kind: 'cancelSleep', server: state.name, sleep, reason: 'still on, and wanted awake again' };
  if (sleep.attempt >= maxSleepAttempts) {
    return { kind: 'cancelSleep', server: state.name, sleep, reason: `not off after ${sleep.attempt} tries` };
  }
  const forced = method.allowForceOff && !sleep.attemptFailed;
  return { kind: 'attemptSleep', server: state.name, sleep, attempt: sleep.attempt + 1, forced };
}

/** A fact that a reading of the hardware brings to light. */
export type PowerFact =
  | { readonly type: 'ServerPoweredOn' }
  | { readonly type: 'ServerPoweredOff' }
  | { readonly type: 'PowerStateLost'; readonly error: string }
  | { readonly type: 'PowerDriftDetected'; readonly expected: 'on' | 'off'; readonly observed: 'on' | 'off' };

/** Unreadable so many times in a row, the power state is unknown. */
export const readingsUntilLost = 3;

/** What a fresh reading says that the fleet does not know yet. A transition (`poweringOn`) is no news. */
export function factsOfReading({ state }: ServerView, reading: PowerState): PowerFact[] {
  if (reading === 'on' && state.powerState !== 'on') {
    const drift =
      state.lifecycle === 'asleep' || (state.lifecycle === 'stopping' && state.powerState === 'off');
    const fact = { type: 'ServerPoweredOn' } as const;
    return drift ? [{ type: 'PowerDriftDetected', expected: 'off', observed: 'on' }, fact] : [fact];
  }
  if (reading === 'off' && state.powerState !== 'off') {
    const serving = state.lifecycle === 'ready' || state.lifecycle === 'draining';
    const booting = state.lifecycle === 'waking' && state.wake?.poweredOnAtMs !== undefined;
    const drift = serving || booting;
    const fact = { type: 'ServerPoweredOff' } as const;
    return drift ? [{ type: 'PowerDriftDetected', expected: 'on', observed: 'off' }, fact] : [fact];
  }
  return [];
}
