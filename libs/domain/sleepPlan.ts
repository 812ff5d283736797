import { capabilitiesOf, onlyCuts } from '../events/mod.ts';
import type { ServerView } from './fleet.ts';
import { censusOf } from './liveness.ts';
import { type PowerAction, type PowerContext, rungThat, type Wanted } from './powerAction.ts';
import { maxSleepAttempts, type SleepInProgress } from './server.ts';
import { mendRefusals, sleepRefusals } from './sleepPermission.ts';

function trace(from: { readonly traceparent?: string }): { traceparent?: string } {
  return from.traceparent ? { traceparent: from.traceparent } : {};
}

/** Asks for the sleep of a server that nobody wants, unless something forbids it. */
export function trySleep(context: PowerContext, server: ServerView, wanted: Wanted): PowerAction | undefined {
  if (rungThat(server, 'sleep') === undefined) return undefined;
  if (sleepRefusals(context.fleet, server, context.liveness, context.nowMs).length > 0) return undefined;
  return { kind: 'requestSleep', server: server.state.name, reason: wanted.reason, ...trace(wanted) };
}

/** What is on and does not serve only burns; switched off, its next wake is a real boot, which may mend it. */
export function trySleepIfOn(
  context: PowerContext,
  server: ServerView,
  wanted: Wanted,
): PowerAction | undefined {
  return server.state.powerState === 'on' ? trySleep(context, server, wanted) : undefined;
}

/**
 * Asks for the power cycle of a server that is on, serves nothing and has done so for too long: no wake reaches what
 * is on already, and nobody shall have to come for it.
 */
export function tryMend(context: PowerContext, server: ServerView): PowerAction | undefined {
  const { fleet, liveness, nowMs } = context;
  if (server.state.health !== 'unhealthy' && server.state.failedWakes === 0) return undefined;
  if (rungThat(server, 'sleep') === undefined) return undefined;
  if (mendRefusals(fleet, server, liveness, nowMs).length > 0) return undefined;
  const { state } = server;
  const why = state.failedWakes > 0 ? `${state.failedWakes} wakes failed` : 'unhealthy for too long';
  return {
    kind: 'requestSleep',
    server: state.name,
    mend: true,
    reason: `power cycle: on and serving nothing, ${why}`,
  };
}

/** What forbids this sleep, begun or to begin, by what it is for. */
function refusalsOf({ fleet, liveness, nowMs }: PowerContext, server: ServerView): string[] {
  return server.state.sleep?.mend
    ? mendRefusals(fleet, server, liveness, nowMs)
    : sleepRefusals(fleet, server, liveness, nowMs);
}

/** While proxies drain: called off as soon as anything speaks against it, switched off when all of them are done. */
export function continueDrain(
  context: PowerContext,
  server: ServerView,
  sleep: SleepInProgress,
  isWanted: boolean,
): PowerAction | undefined {
  const { name } = server.state;
  const cancel = (reason: string): PowerAction => ({ kind: 'cancelSleep', server: name, sleep, reason });
  if (isWanted && !sleep.mend) return cancel('the decision wants it awake again');
  const refusals = refusalsOf(context, server);
  if (refusals.length > 0) return cancel(refusals.join('; '));
  const first = stepOf(server, sleep, 1);
  if (!first) return cancel('no method of it can put it to sleep');
  const undrained = undrainedProxies(context, sleep);
  if (undrained.length === 0) return { kind: 'attemptSleep', server: name, sleep, attempt: 1, ...first };
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
    ...refusalsOf(context, server),
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

interface SleepStep {
  readonly rung: number;
  readonly forced: boolean;
}

/**
 * The ways to switch off a server that is not healthy, each tried once: asked gracefully by every method that sleeps,
 * since the first may be an agent or an ssh that hangs with it; then its power is cut, by every method that can and may.
 */
function sickSteps(server: ServerView): SleepStep[] {
  const rungs = server.config.power.map((method, rung) => ({ rung, method, can: capabilitiesOf(method) }));
  const graceful = rungs.filter(
    ({ rung, can, method }) => can.has('sleep') && (!onlyCuts(method) || rung === rungThat(server, 'sleep')),
  );
  const forced = rungs.filter(({ can, method }) => can.has('forceOff') && method.allowForceOff);
  return [
    ...graceful.map(({ rung }) => ({ rung, forced: false })),
    ...forced.map(({ rung }) => ({ rung, forced: true })),
  ];
}

function isOfSick({ mend, ofSick }: SleepInProgress): boolean {
  return mend === true || ofSick === true;
}

/** What a sleep tries the so-many-th time, from 1; undefined: nothing can put it to sleep. */
function stepOf(server: ServerView, sleep: SleepInProgress, attempt: number): SleepStep | undefined {
  if (isOfSick(sleep)) {
    const steps = sickSteps(server);
    return steps[Math.min(attempt, steps.length) - 1];
  }
  const rung = rungThat(server, 'sleep');
  if (rung === undefined) return undefined;
  const cuts = rungThat(server, 'forceOff');
  const mayForce = cuts !== undefined && server.config.power[cuts]?.allowForceOff === true;
  // What was refused is asked again; what was taken and did nothing is forced.
  return attempt > 1 && mayForce && !sleep.attemptFailed
    ? { rung: cuts, forced: true }
    : { rung, forced: false };
}

/** After the power-off was sent: waits, repeats, forces where that is allowed, and wakes what is off and wanted. */
export function continueStop(
  context: PowerContext,
  server: ServerView,
  isWanted: boolean,
): Exclude<PowerAction, { kind: 'requestWake' }> | 'wake' | undefined {
  const { state, config } = server;
  const { sleep } = state;
  if (state.powerState === 'off' || !sleep) return isWanted ? 'wake' : undefined;
  const tried = stepOf(server, sleep, sleep.attempt);
  const method = tried && config.power[tried.rung];
  const next = stepOf(server, sleep, sleep.attempt + 1);
  if (!method || !next) return undefined;
  const sinceAttemptMs = context.nowMs - sleep.attemptedAtMs;
  if (!sleep.attemptFailed && sinceAttemptMs < method.gracefulOffTimeoutMs) return undefined;
  if (sleep.attemptFailed && sinceAttemptMs < 1_000 * 2 ** (sleep.attempt - 1)) return undefined;
  const cancel = (reason: string) => ({ kind: 'cancelSleep', server: state.name, sleep, reason }) as const;
  if (isWanted && !sleep.mend) return cancel('still on, and wanted awake again');
  const mostAttempts = Math.max(maxSleepAttempts, isOfSick(sleep) ? sickSteps(server).length : 0);
  if (sleep.attempt >= mostAttempts) return cancel(`not off after ${sleep.attempt} tries`);
  return { kind: 'attemptSleep', server: state.name, sleep, attempt: sleep.attempt + 1, ...next };
}
