import type { Span } from '@opentelemetry/api';
import type { Fleet, PowerAction, ServerView } from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';
import { beginSpan, traceparentOf, withSpan } from '../../libs/runtime/telemetry.ts';
import type { DriverSet } from './driverSet.ts';
import { DriverError, type PowerDriver } from './drivers/driver.ts';
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
  readonly signal: AbortSignal;
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
  const silent: SilentDrivers = new Map();
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
      action.kind === 'attemptWake' ? attemptWake(options, action) : attemptSleep(options, action, silent),
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
      await driver.wake(options.signal);
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

/** Server → its drivers that did not answer when it was last to be switched off. */
type SilentDrivers = Map<string, Set<string>>;

function addSilent(silent: SilentDrivers, server: string, driver: string): void {
  silent.set(server, (silent.get(server) ?? new Set()).add(driver));
}

/**
 * The first method that can put a server to sleep. One that serves nothing may be so dead that its agent is too: there
 * the next method follows one that did not answer. One that said no is not gone round.
 */
function gracefulDriver(
  { drivers }: ActionsOptions,
  server: ServerView | undefined,
  silent: SilentDrivers,
): PowerDriver | undefined {
  if (!server) return undefined;
  const { name, sleep, failedWakes } = server.state;
  const able = drivers.driversOf(name).filter(({ capabilities }) => capabilities.has('sleep'));
  const isBroken = sleep?.mend === true || failedWakes > 0;
  const heard = able.find((driver) => !silent.get(name)?.has(driver.name));
  return (isBroken ? heard : undefined) ?? able[0];
}

async function attemptSleep(
  options: ActionsOptions,
  action: Extract<Attempt, { kind: 'attemptSleep' }>,
  silent: SilentDrivers,
): Promise<void> {
  const { server, attempt, forced, sleep } = action;
  const before = options.serverView(server);
  const forcing = forced ? options.drivers.driverThat(server, 'forceOff') : undefined;
  const driver = forcing ?? gracefulDriver(options, before, silent);
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
      await driver.sleep(forced ? 'forced' : 'graceful', options.signal);
      silent.delete(server);
    } catch (error) {
      if (error instanceof DriverError && error.kind === 'unreachable')
        addSilent(silent, server, driver.name);
      await publish(options, {
        type: 'SleepAttemptFailed',
        data: { ...about, attempt, error: messageOf(error) },
      });
    }
    options.onSent(server);
  });
}
