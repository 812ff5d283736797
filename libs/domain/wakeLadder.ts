import type { Bounds, PowerMethod } from '../events/mod.ts';
import type { ServerView } from './fleet.ts';
import { failedItsDrill } from './hand.ts';
import { type ActionOf, type PowerAction, type PowerContext, rungThat } from './powerAction.ts';
import type { WakeInProgress } from './server.ts';
import { confirmMs, expectedOnMs, expectedReadyMs, rungTimeoutMs } from './setupTime.ts';

/**
 * The next step of a wake under way, or nothing while it has time. At its first missed quantile it is reported, once;
 * a rung whose tries or time are used up hands over to the next; behind the last one the wake is given up.
 */
export function continueWake(
  context: PowerContext,
  server: ServerView,
  wake: WakeInProgress,
): PowerAction | undefined {
  const bounds = context.fleet.config?.bounds;
  if (!bounds) return undefined;
  const late = overdue(context, server, wake, bounds);
  if (late) return late;
  const { state, config } = server;
  const attemptWake = (rung: number, attempt: number): PowerAction => ({
    kind: 'attemptWake',
    server: state.name,
    wake,
    rung,
    attempt,
  });
  const climb = (from: number, why: string) => {
    const next = rungThat(server, 'wake', from);
    if (next !== undefined) return attemptWake(next, 1);
    return giveUp(server, wake, `${why}; the last rung of the wake ladder has failed`);
  };
  if (wake.attempt === 0) return climb(0, 'no method of it can wake');
  const method = config.power[wake.rung];
  if (!method) return giveUp(server, wake, 'the wake ladder has become shorter than the rung in use');
  const sinceAttemptMs = context.nowMs - wake.attemptedAtMs;
  const timeoutMs = rungTimeoutMs(server, bounds);
  // Where no power can be read, tries go on while it boots: its time runs from the first, and only that climbs.
  const rungAtMs = state.powerInferred ? (wake.rungStartedAtMs ?? wake.attemptedAtMs) : wake.attemptedAtMs;
  if (context.nowMs - rungAtMs >= timeoutMs)
    return climb(wake.rung + 1, `not ready after ${Math.round(timeoutMs)} ms`);
  if (state.powerState === 'on') return undefined;
  if (sinceAttemptMs < retryAfterMs(server, method, wake, bounds)) return undefined;
  if (wake.attempt < method.tries) return attemptWake(wake.rung, wake.attempt + 1);
  if (state.powerInferred && !wake.attemptFailed) return undefined;
  return climb(wake.rung + 1, `hardware not on after ${method.tries} tries by ${method.driver}`);
}

/** A refused try is repeated with growing distance; one that was taken gets its time to show. */
function retryAfterMs(server: ServerView, method: PowerMethod, wake: WakeInProgress, bounds: Bounds): number {
  if (wake.attemptFailed) return Math.min(method.confirmTimeoutMs, 1_000 * 2 ** (wake.attempt - 1));
  return confirmMs(server, method, bounds);
}

/** The first milestone that this wake has missed, when nobody has said so yet. */
function overdue(
  { nowMs }: PowerContext,
  server: ServerView,
  wake: WakeInProgress,
  bounds: Bounds,
): ActionOf<'reportOverdue'> | undefined {
  if (wake.overdueAtMs !== undefined || wake.attempt === 0) return undefined;
  const { state, config } = server;
  const report = (milestone: 'taken' | 'on' | 'ready', expectedMs: number) =>
    ({ kind: 'reportOverdue', server: state.name, wake, milestone, expectedMs }) as const;
  if (wake.attemptFailed) return report('taken', 0);
  const elapsedMs = nowMs - wake.requestedAtMs;
  const method = config.power[wake.rung];
  if (method && state.powerState !== 'on' && !state.powerInferred) {
    const onMs = expectedOnMs(server, method, bounds);
    if (elapsedMs > onMs) return report('on', onMs);
  }
  const readyMs = expectedReadyMs(server, bounds);
  return elapsedMs > readyMs ? report('ready', readyMs) : undefined;
}

function giveUp(server: ServerView, wake: WakeInProgress, reason: string): PowerAction {
  return { kind: 'giveUpWake', server: server.state.name, wake, reason };
}

/** After a failed wake: left alone for a while that doubles with each failure in a row. */
export function quarantine({ fleet, nowMs }: PowerContext, { state }: ServerView): PowerAction {
  const { quarantineMs = 0, maxQuarantineMs = 0 } = fleet.config?.bounds ?? {};
  const durationMs = Math.min(maxQuarantineMs, quarantineMs * 2 ** (state.failedWakes - 1));
  const reason = `wake failed ${state.failedWakes} times in a row; next try in ${durationMs} ms`;
  return { kind: 'quarantine', server: state.name, untilMs: nowMs + durationMs, reason };
}

/**
 * May a planner count on this server: does it serve, or will it by what its own past says? Not on one that is
 * overdue, was refused, failed its last wake or its last fire drill: a substitute is woken, whatever becomes of it.
 */
export function isCountedOn({ state }: ServerView): boolean {
  if (state.lifecycle === 'failed' || state.lifecycle === 'quarantined') return false;
  if (failedItsDrill(state) && state.lifecycle !== 'ready') return false;
  return state.wake?.overdueAtMs === undefined && !state.wake?.attemptFailed;
}
