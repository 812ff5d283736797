import type { RecordedEvent } from '../events/mod.ts';
import { type Contradictions, evolveContradictions } from './contradictions.ts';
import { type Cordon, type Drills, evolveHand, type Order } from './hand.ts';
import { evolveHeartbeat, type HeartbeatState, rebootsWhileServing } from './heartbeat.ts';
import { acted, enter, rememberedActions, trace } from './serverFold.ts';
import { evolveWake } from './serverWake.ts';
import { recordWake, type WakeRecord } from './wakeRecord.ts';
import { without } from './without.ts';

/** What the hardware says (Redfish terms). */
export type PowerState = 'on' | 'off' | 'poweringOn' | 'poweringOff' | 'unknown';
/** What Nemuri holds to be true of a server. */
export type Lifecycle = 'asleep' | 'waking' | 'ready' | 'draining' | 'stopping' | 'failed' | 'quarantined';
/** What probes, passive signals and heartbeats say. */
export type Health = 'healthy' | 'unhealthy' | 'unknown';

export interface WakeInProgress {
  readonly wakeId: string;
  readonly requestedAtMs: number;
  readonly reason: string;
  /** The rung of the wake ladder in use, from 0, and the try on it, from 1; 0: none yet. */
  readonly rung: number;
  readonly attempt: number;
  readonly attemptedAtMs: number;
  /** When this rung's first try was sent. */
  readonly rungStartedAtMs?: number;
  readonly attemptFailed: boolean;
  readonly poweredOnAtMs?: number;
  /** Since when it is late by the server's own past: a substitute is wanted, whatever this wake still does. */
  readonly overdueAtMs?: number;
  readonly traceparent?: string;
}

export type DrainState = 'draining' | 'drained' | 'timedOut';

export interface SleepInProgress {
  readonly sleepId: string;
  readonly requestedAtMs: number;
  readonly reason: string;
  readonly attempt: number;
  readonly attemptedAtMs: number;
  readonly attemptFailed: boolean;
  readonly forced: boolean;
  /** The first half of a power cycle that shall mend a hung server. */
  readonly mend?: boolean;
  /** It was not healthy when its sleep was asked for: whoever runs on it may be as dead as its service. */
  readonly ofSick?: boolean;
  /** Who was told to switch it off, once that was tried. */
  readonly driver?: string;
  /** What each proxy says of this drain. */
  readonly proxies: Readonly<Record<string, DrainState>>;
  readonly traceparent?: string;
}

/** Four axes, never one `status`: lifecycle, power state, health and the operator's cordon. */
export interface ServerState {
  readonly name: string;
  readonly pool: string;
  readonly lifecycle: Lifecycle;
  /** Epoch ms of the last change of the lifecycle; while stopping, of the power-off once the hardware says off. */
  readonly sinceMs: number;
  readonly powerState: PowerState;
  /** No method reads its power: `powerState` is inferred from probes. */
  readonly powerInferred?: boolean;
  readonly health: Health;
  /** Since when it is unhealthy, while it is. */
  readonly unhealthySinceMs?: number;
  readonly cordoned: boolean;
  readonly wake?: WakeInProgress;
  readonly sleep?: SleepInProgress;
  readonly readyAtMs?: number;
  /** Epoch ms since when it is healthy without a break: from here its slow start counts. */
  readonly healthyAtMs?: number;
  readonly quarantinedUntilMs?: number;
  /** Until when some proxy sends it nothing, because its connection was dead. */
  readonly ejectedUntilMs?: number;
  /** When probes last lifted such an ejection. */
  readonly ejectionLiftedAtMs?: number;
  /** What it says of itself, once it has spoken. */
  readonly heartbeat?: HeartbeatState;
  /** Since when it is known to go down by itself; until it is up again it gets nothing new. Epoch ms. */
  readonly shutdownAnnouncedAtMs?: number;
  /** Epoch ms of its last boots that nobody asked for, newest last. */
  readonly restartsAtMs?: readonly number[];
  /** Witnesses that disagree about it. */
  readonly contradictions?: Contradictions;
  readonly failedWakes: number;
  /** How its wakes went, the older ones counting less and less. */
  readonly wakeRecord?: WakeRecord;
  /** What it sustains, learned in the place of what is configured; in requests/s. */
  readonly learnedCapacity?: { readonly capacityRps: number; readonly configuredRps: number };
  /** Power-offs in a row that did not switch it off, and when the last of them was called off. */
  readonly failedSleeps?: { readonly count: number; readonly lastAtMs: number };
  /** Epoch ms of the last sleeps (wear), newest last. */
  readonly sleptAtMs: readonly number[];
  /** The last measured setup times in ms, newest last. */
  readonly setupTimesMs: readonly number[];
  /** The last measured times from a wake to hardware on in ms, of wakes that worked at once; newest last. */
  readonly powerOnTimesMs: readonly number[];
  /** Epoch ms of the last commands sent to its hardware, and of the last power cycles to mend it; newest last. */
  readonly actionsAtMs: readonly number[];
  readonly mendedAtMs: readonly number[];
  /** Who cordoned it and why, while it is. */
  readonly cordon?: Cordon;
  readonly order?: Order;
  readonly drills?: Drills;
}

/** Tries of one way to switch a server off before the sleep is called off. */
export const maxSleepAttempts = 3;

/** Bounds of what a server's state remembers: cycles a day are configured to at most 200. */
const rememberedSleeps = 256;
const rememberedSetupTimes = 16;

/**
 * A server nobody has looked at yet. It counts as waking: it serves when a probe says so, and is asleep only
 * when its hardware says off and the sleep is proven.
 */
export function newServer(name: string, pool: string, nowMs: number): ServerState {
  return {
    name,
    pool,
    lifecycle: 'waking',
    sinceMs: nowMs,
    powerState: 'unknown',
    health: 'unknown',
    cordoned: false,
    failedWakes: 0,
    sleptAtMs: [],
    setupTimesMs: [],
    powerOnTimesMs: [],
    actionsAtMs: [],
    mendedAtMs: [],
  };
}

/** A waking server that answers is ready, unless its hardware still says off (the hardware is right). */
function settle(server: ServerState, nowMs: number): ServerState {
  const returning =
    server.lifecycle === 'waking' || server.lifecycle === 'failed' || server.lifecycle === 'quarantined';
  if (!returning || server.health !== 'healthy' || server.powerState === 'off') return server;
  // A wake of what was on already measures no set-up.
  const booted = server.wake?.poweredOnAtMs !== undefined;
  const setupTimesMs =
    server.wake && booted
      ? [...server.setupTimesMs, Math.max(0, nowMs - wokenAtMs(server, server.wake))].slice(
          -rememberedSetupTimes,
        )
      : server.setupTimesMs;
  const ready = enter(
    without(server, 'wake', 'sleep', 'quarantinedUntilMs', 'ejectedUntilMs'),
    'ready',
    nowMs,
  );
  const wakeRecord = booted ? { wakeRecord: recordWake(server.wakeRecord, true) } : {};
  return { ...ready, ...wakeRecord, readyAtMs: nowMs, failedWakes: 0, setupTimesMs };
}

/**
 * When the machine heard the wake that worked: its last try, since none is sent once the hardware says on. Where that
 * can't be read, tries go on while it boots, and the rung's first has to do.
 */
function wokenAtMs({ powerInferred }: ServerState, wake: WakeInProgress): number {
  if (powerInferred) return wake.rungStartedAtMs ?? wake.requestedAtMs;
  // A ladder climbed because it was on and did not serve says nothing of when it began.
  return Math.min(wake.attemptedAtMs, wake.poweredOnAtMs ?? wake.attemptedAtMs);
}

/** Folds one event about a server into its state. Events that do not concern the state leave it as it is. */
export function evolveServer(server: ServerState, event: RecordedEvent): ServerState {
  const rebooted = rebootsWhileServing(server, event) ? warmUp(server, event.timeMs) : server;
  const life = evolveWake(evolveSleep(evolveTruth(rebooted, event), event), event);
  return evolveHand(evolveContradictions(evolveHeartbeat(life, event), event), event);
}

function evolveSleep(server: ServerState, event: RecordedEvent): ServerState {
  const { sleep } = server;
  switch (event.type) {
    case 'SleepRequested': {
      const isDown = server.lifecycle === 'asleep' || server.lifecycle === 'stopping';
      if (isDown || sleep?.sleepId === event.data.sleepId) return server;
      const started = {
        sleepId: event.data.sleepId,
        requestedAtMs: event.timeMs,
        reason: event.data.reason,
        attempt: 0,
        attemptedAtMs: event.timeMs,
        attemptFailed: false,
        forced: false,
        ...(event.data.mend ? { mend: true } : {}),
        ...(server.health === 'healthy' ? {} : { ofSick: true }),
        proxies: {},
        ...trace(event),
      };
      const mendedAtMs = event.data.mend
        ? [...server.mendedAtMs, event.timeMs].slice(-rememberedActions)
        : server.mendedAtMs;
      return { ...enter(without(server, 'wake'), 'draining', event.timeMs), mendedAtMs, sleep: started };
    }
    case 'SleepCancelled': {
      if (sleep?.sleepId !== event.data.sleepId) return server;
      const awake = without(server, 'sleep');
      if (server.lifecycle === 'draining') {
        // One that never was ready (adopted, quarantined) does not become so by this.
        return enter(awake, server.readyAtMs === undefined ? 'waking' : 'ready', event.timeMs);
      }
      if (server.powerState === 'off') return server;
      const failedSleeps =
        sleep.attempt >= maxSleepAttempts
          ? { count: (server.failedSleeps?.count ?? 0) + 1, lastAtMs: event.timeMs }
          : server.failedSleeps;
      // Once the power-off was sent, only a probe can say that the server serves.
      return {
        ...enter(without(awake, 'readyAtMs'), 'waking', event.timeMs),
        health: 'unknown',
        ...(failedSleeps ? { failedSleeps } : {}),
      };
    }
    case 'SleepAttempted': {
      if (sleep?.sleepId !== event.data.sleepId) return server;
      const { attempt, forced, driver } = event.data;
      const tried = { ...sleep, attempt, forced, driver, attemptedAtMs: event.timeMs, attemptFailed: false };
      return { ...enter(acted(server, event.timeMs), 'stopping', event.timeMs), sleep: tried };
    }
    case 'SleepAttemptFailed':
    case 'SleepOrderFailed':
      return sleep?.sleepId === event.data.sleepId
        ? { ...server, sleep: { ...sleep, attemptFailed: true } }
        : server;
    case 'ServerDrainStarted':
      return withDrain(server, event.data.sleepId, event.data.proxy, 'draining');
    case 'ServerDrained':
      return withDrain(server, event.data.sleepId, event.data.proxy, 'drained');
    case 'DrainTimedOut':
      return withDrain(server, event.data.sleepId, event.data.proxy, 'timedOut');
    default:
      return server;
  }
}

function withDrain(server: ServerState, sleepId: string, proxy: string, state: DrainState): ServerState {
  const { sleep } = server;
  if (sleep?.sleepId !== sleepId) return server;
  return { ...server, sleep: { ...sleep, proxies: { ...sleep.proxies, [proxy]: state } } };
}

function evolveTruth(server: ServerState, event: RecordedEvent): ServerState {
  switch (event.type) {
    case 'ServerPoweredOn':
      return poweredOn(without(server, 'powerInferred'), event.timeMs);
    case 'ServerPoweredOff':
      return poweredOff(without(server, 'powerInferred'), event.timeMs);
    case 'PowerStateLost':
      return { ...server, powerState: 'unknown' };
    case 'PowerReadingUnavailable':
      return { ...server, powerInferred: true };
    case 'ServerBecameHealthy':
      return settle(inferredOn(healthyFrom(server, event.timeMs), event), event.timeMs);
    case 'ServerBecameUnhealthy': {
      const sinceMs = server.health === 'unhealthy' ? server.unhealthySinceMs : undefined;
      return { ...server, health: 'unhealthy', unhealthySinceMs: sinceMs ?? event.timeMs };
    }
    case 'SleepVerified':
      if (!awaitsSleepProof(server)) return server;
      return {
        ...enter(without(server, 'sleep', 'readyAtMs', 'failedSleeps'), 'asleep', event.timeMs),
        powerState: 'off',
        health: 'unknown',
        sleptAtMs: [...server.sleptAtMs, event.timeMs].slice(-rememberedSleeps),
      };
    case 'SleepContradicted':
      // Its silence was all there was to say off, and it speaks.
      if (server.powerInferred && server.lifecycle === 'asleep') return poweredOn(server, event.timeMs);
      // Late, when it is being woken or its hardware says on by now.
      if (server.lifecycle !== 'asleep' && !(server.lifecycle === 'stopping' && server.powerState === 'off'))
        return server;
      return enter(without(server, 'sleep'), 'failed', event.timeMs);
    case 'ServerEjected':
      return { ...server, ejectedUntilMs: Math.max(server.ejectedUntilMs ?? 0, event.data.untilMs) };
    case 'EjectionConfirmed':
      return without(server, 'ejectedUntilMs');
    case 'EjectionLifted':
      return { ...without(server, 'ejectedUntilMs'), ejectionLiftedAtMs: event.timeMs };
    case 'ServerCapacityLearned': {
      const { capacityRps, configuredRps } = event.data;
      return { ...server, learnedCapacity: { capacityRps, configuredRps } };
    }
    default:
      return server;
  }
}

/**
 * Is the hardware off, and does silence prove the sleep? Not after a failed wake: that one is to be quarantined,
 * and as a sleeper it would be woken again at once. Where no power can be read, silence has to do for the hardware.
 */
export function awaitsSleepProof(server: ServerState): boolean {
  if (server.powerInferred) return server.lifecycle === 'stopping';
  if (server.powerState !== 'off') return false;
  return server.lifecycle === 'stopping' || (server.lifecycle === 'failed' && server.failedWakes === 0);
}

function healthyFrom(server: ServerState, nowMs: number): ServerState {
  if (server.health === 'healthy') return server;
  return { ...without(server, 'unhealthySinceMs'), health: 'healthy', healthyAtMs: nowMs };
}

/** It is another boot than the one that was ready: looked at as one that wakes. */
function warmUp(server: ServerState, nowMs: number): ServerState {
  return { ...enter(without(server, 'sleep', 'readyAtMs'), 'waking', nowMs), health: 'unknown' };
}

function poweredOn(server: ServerState, nowMs: number): ServerState {
  const on: ServerState = { ...server, powerState: 'on' };
  const wasDown = server.powerState === 'off' || !server.sleep;
  if (server.lifecycle === 'asleep' || (server.lifecycle === 'stopping' && wasDown)) {
    // Nobody asked for it, or it came back by itself: it is looked at as one that wakes.
    return { ...enter(without(on, 'sleep'), 'waking', nowMs), health: 'unknown' };
  }
  const woken: ServerState = on.wake ? { ...on, wake: { ...on.wake, poweredOnAtMs: nowMs } } : on;
  return settle(server.powerState === 'off' ? learnPowerOn(woken, nowMs) : woken, nowMs);
}

/** Only a wake that worked at its first try measures the machine; the others measure our patience. */
function learnPowerOn(server: ServerState, nowMs: number): ServerState {
  const { wake } = server;
  if (wake?.rung !== 0 || wake.attempt !== 1) return server;
  const timeMs = Math.max(0, nowMs - wake.requestedAtMs);
  return { ...server, powerOnTimesMs: [...server.powerOnTimesMs, timeMs].slice(-rememberedSetupTimes) };
}

/** What answers is on, where nothing else can say so; a wake's set-up then began no later than its request. */
function inferredOn(server: ServerState, event: RecordedEvent): ServerState {
  if (!server.powerInferred) return server;
  if (server.lifecycle === 'asleep') return { ...poweredOn(server, event.timeMs), health: server.health };
  const slept = server.powerState === 'off';
  const wake = server.wake && slept ? { ...server.wake, poweredOnAtMs: event.timeMs } : server.wake;
  return { ...server, powerState: 'on', ...(wake ? { wake } : {}) };
}

function poweredOff(server: ServerState, nowMs: number): ServerState {
  const off: ServerState = { ...without(server, 'readyAtMs'), powerState: 'off', health: 'unknown' };
  // Proven asleep before its hardware could not be read for a while; or given up, with the quarantine still to come.
  const isSettled = off.lifecycle === 'asleep' || off.lifecycle === 'quarantined';
  if (isSettled || (off.lifecycle === 'failed' && off.failedWakes > 0)) return off;
  if (off.lifecycle === 'waking' && off.wake) {
    const { poweredOnAtMs: _lost, ...wake } = off.wake;
    return { ...off, wake };
  }
  return { ...off, lifecycle: 'stopping', sinceMs: nowMs };
}
