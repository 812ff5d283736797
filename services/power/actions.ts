import type { Span } from '@opentelemetry/api';
import type { Fleet, PowerAction, ServerView } from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { type Lease, LeaseLostError } from '../../libs/runtime/lease.ts';
import type { Logger } from '../../libs/runtime/log.ts';
import { beginSpan, traceparentOf, withSpan } from '../../libs/runtime/telemetry.ts';
import type { DriverSet } from './driverSet.ts';
import { publishTimeoutMs } from './machine.ts';

export interface ActionsOptions {
  readonly view: FleetView;
  readonly drivers: DriverSet;
  readonly log: Logger;
  readonly serverView: (server: string) => ServerView | undefined;
  /** Why the power-off that is about to be sent must not be sent, by what is known at this moment; empty: send it. */
  readonly sleepRefusalsNow: (view: ServerView) => string[];
  /** The hardware was told something: look at it soon. */
  readonly onSent: (server: string) => void;
  /** The lease under which one command may be sent; undefined: none is held. */
  readonly guard: (objection?: () => Error | undefined) => ReturnType<Lease['guard']> | undefined;
  readonly nowMs: () => number;
  /** Names a wake, a sleep, a drill. */
  readonly newId: () => string;
}

/**
 * Carries out what the domain decided: first the fact, fenced by the last one on the server's subject, then the
 * hardware. Whoever lost the race for the fact does nothing.
 */
export interface Actions {
  /** Publishes a decided intent. @returns false when the state has moved on: plan again. */
  record(action: RecordedIntent): Promise<boolean>;
  /** Publishes an attempt, checks again, and tells the hardware. */
  attempt(action: Attempt): Promise<void>;
  /** Ends the spans of wakes that are over. */
  followSpans(fleet: Fleet): void;
}

export type Attempt = Extract<PowerAction, { kind: 'attemptWake' | 'attemptSleep' }>;
export type RecordedIntent = Exclude<PowerAction, Attempt>;

export function isAttempt(action: PowerAction): action is Attempt {
  return action.kind === 'attemptWake' || action.kind === 'attemptSleep';
}

export function createActions(options: ActionsOptions): Actions {
  const wakeSpans = new Map<string, { readonly server: string; readonly span: Span }>();

  return {
    async record(action) {
      const server = options.serverView(action.server);
      if (!server) return false;
      const event = intentEvent(action, server, options);
      if (action.kind !== 'requestWake' || event.type !== 'WakeRequested' || !action.traceparent) {
        return publish(options, event);
      }
      const { wakeId } = event.data;
      const span = beginSpan('wake', action.traceparent, {
        'nemuri.server': action.server,
        'nemuri.wake_id': wakeId,
      });
      const recorded = await publish(options, { ...event, ...traceparentOf(span) });
      if (recorded) wakeSpans.set(wakeId, { server: action.server, span });
      return recorded;
    },
    attempt: (action) =>
      action.kind === 'attemptWake' ? attemptWake(options, action) : attemptSleep(options, action),
    followSpans(fleet) {
      for (const [wakeId, { server, span }] of wakeSpans) {
        const state = fleet.servers[server];
        if (state?.wake?.wakeId === wakeId) continue;
        wakeSpans.delete(wakeId);
        span.setAttribute('nemuri.lifecycle', state?.lifecycle ?? 'removed');
        span.end();
      }
    },
  };
}

async function publish({ view, log }: ActionsOptions, event: EventDraft): Promise<boolean> {
  const recorded = await view.record(event, publishTimeoutMs);
  if (recorded) log.info(event.data, event.type);
  return recorded;
}

function intentEvent(
  action: RecordedIntent,
  { state, pool }: ServerView,
  { nowMs, newId }: ActionsOptions,
): EventDraft {
  const about = { server: state.name, pool: state.pool };
  switch (action.kind) {
    case 'requestWake':
      return { type: 'WakeRequested', data: { ...about, wakeId: newId(), reason: action.reason } };
    case 'reportOverdue': {
      const { wake, milestone, expectedMs } = action;
      const elapsedMs = Math.max(0, nowMs() - wake.requestedAtMs);
      return {
        type: 'WakeOverdue',
        data: { ...about, wakeId: wake.wakeId, milestone, elapsedMs, expectedMs },
      };
    }
    case 'giveUpWake': {
      const { wakeId } = action.wake;
      const elapsedMs = Math.max(0, nowMs() - action.wake.requestedAtMs);
      return { type: 'WakeTimedOut', data: { ...about, wakeId, elapsedMs, reason: action.reason } };
    }
    case 'quarantine':
      return {
        type: 'ServerQuarantined',
        data: { ...about, untilMs: action.untilMs, reason: action.reason },
      };
    case 'requestSleep': {
      const { drainTimeoutMs } = pool;
      const mend = action.mend ? { mend: true } : {};
      const data = { ...about, sleepId: newId(), drainTimeoutMs, ...mend, reason: action.reason };
      const trace = action.traceparent ? { traceparent: action.traceparent } : {};
      return { type: 'SleepRequested', data, ...trace };
    }
    case 'cancelSleep': {
      const { sleepId } = action.sleep;
      return { type: 'SleepCancelled', data: { ...about, sleepId, reason: action.reason } };
    }
    case 'endCordon':
      return { type: 'CordonExpired', data: { ...about, untilMs: action.untilMs } };
    case 'startDrill': {
      const { asleepForMs, reason } = action;
      return { type: 'DrillStarted', data: { ...about, drillId: newId(), asleepForMs, reason } };
    }
    case 'passDrill':
      return { type: 'DrillPassed', data: { ...about, drillId: action.drillId, setupMs: action.setupMs } };
    case 'failDrill':
      return { type: 'DrillFailed', data: { ...about, drillId: action.drillId, reason: action.reason } };
  }
}

async function attemptWake(
  options: ActionsOptions,
  action: Extract<Attempt, { kind: 'attemptWake' }>,
): Promise<void> {
  const { server, rung, attempt, wake } = action;
  const before = options.serverView(server);
  const driver = options.drivers.driverOf(server, rung);
  if (!before || !driver) return;
  const about = { server, pool: before.state.pool, wakeId: wake.wakeId, rung, attempt };
  const attributes = { 'nemuri.server': server, 'nemuri.driver': driver.name, 'nemuri.rung': rung };
  await withSpan('wake attempt', wake.traceparent, attributes, async (span) => {
    const trace = traceparentOf(span);
    const attempted = { type: 'WakeAttempted', data: { ...about, driver: driver.name }, ...trace } as const;
    if (!(await publish(options, attempted))) return;
    const now = options.serverView(server);
    if (now?.state.wake?.wakeId !== wake.wakeId) return;
    try {
      await underLease(options, (signal) => driver.wake(signal));
    } catch (error) {
      await publish(options, {
        type: 'WakeAttemptFailed',
        data: { ...about, error: messageOf(error) },
        ...trace,
      });
    }
    options.onSent(server);
  });
}

async function attemptSleep(
  options: ActionsOptions,
  action: Extract<Attempt, { kind: 'attemptSleep' }>,
): Promise<void> {
  const { server, rung, attempt, forced, sleep } = action;
  const before = options.serverView(server);
  const driver = options.drivers.driverOf(server, rung);
  if (!before || !driver) return;
  const about = { server, pool: before.state.pool, sleepId: sleep.sleepId };
  const attributes = { 'nemuri.server': server, 'nemuri.driver': driver.name, 'nemuri.forced': forced };
  await withSpan('sleep attempt', sleep.traceparent, attributes, async () => {
    const data = { ...about, attempt, driver: driver.name, forced };
    if (!(await publish(options, { type: 'SleepAttempted', data }))) return;
    const now = options.serverView(server);
    if (now?.state.sleep?.sleepId !== sleep.sleepId) return;
    const refusals = options.sleepRefusalsNow(now);
    if (refusals.length > 0) {
      const reason = `called off just before the power-off: ${refusals.join('; ')}`;
      await publish(options, { type: 'SleepCancelled', data: { ...about, reason } });
      return;
    }
    try {
      const command = (signal: AbortSignal) => driver.sleep(forced ? 'forced' : 'graceful', signal);
      await underLease(options, command, () => objectionTo(options, sleep.sleepId, server));
    } catch (error) {
      await publish(options, {
        type: 'SleepAttemptFailed',
        data: { ...about, attempt, error: messageOf(error) },
      });
    }
    options.onSent(server);
  });
}

/** What has come to be known against a power-off while its driver got through to the hardware. */
function objectionTo(
  { serverView, sleepRefusalsNow }: ActionsOptions,
  sleepId: string,
  server: string,
): Error | undefined {
  const now = serverView(server);
  // What is off already may be so by this very command, whose answer is still awaited.
  if (now?.state.powerState === 'off') return undefined;
  const refusals =
    now?.state.sleep?.sleepId === sleepId ? sleepRefusalsNow(now) : ['this sleep is called off'];
  return refusals.length > 0 ? new Error(`held back: ${refusals.join('; ')}`) : undefined;
}

/**
 * One command, for as long as this replica leads: who was stopped before it was sent sends nothing later.
 * @param objection asked by the driver at the last moment at which the command can be held back.
 */
async function underLease(
  { guard }: ActionsOptions,
  command: (signal: AbortSignal) => Promise<void>,
  objection?: () => Error | undefined,
): Promise<void> {
  const guarded = guard(objection);
  if (!guarded) throw new LeaseLostError('power');
  try {
    guarded.signal.throwIfAborted();
    await command(guarded.signal);
  } finally {
    guarded.release();
  }
}
