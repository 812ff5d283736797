import type { RecordedEvent } from '../events/mod.ts';
import { type Contradictions, evolveContradictions } from './contradictions.ts';
import { evolveHeartbeat, type HeartbeatState, rebootsWhileServing } from './heartbeat.ts';

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
  readonly attemptFailed: boolean;
  readonly poweredOnAtMs?: number;
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
  readonly health: Health;
  readonly cordoned: boolean;
  readonly wake?: WakeInProgress;
  readonly sleep?: SleepInProgress;
  readonly readyAtMs?: number;
  /** Epoch ms since when it is healthy without a break: from here its slow start counts. */
  readonly healthyAtMs?: number;
  readonly quarantinedUntilMs?: number;
  /** Until when some proxy sends it nothing, because its connection was dead. */
  readonly ejectedUntilMs?: number;
  /** What it says of itself, once it has spoken. */
  readonly heartbeat?: HeartbeatState;
  /** Since when it is known to go down by itself; until it is up again it gets nothing new. Epoch ms. */
  readonly shutdownAnnouncedAtMs?: number;
  /** Witnesses that disagree about it. */
  readonly contradictions?: Contradictions;
  readonly failedWakes: number;
  /** Epoch ms of the last sleeps (wear), newest last. */
  readonly sleptAtMs: readonly number[];
  /** The last measured setup times in ms, newest last. */
  readonly setupTimesMs: readonly number[];
}

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
  };
}

type Without<K extends keyof ServerState> = Omit<ServerState, K>;

function drop<K extends keyof ServerState>(server: ServerState, ...keys: K[]): Without<K> {
  const copy = { ...server };
  for (const key of keys) delete copy[key];
  return copy;
}

function enter(server: ServerState, lifecycle: Lifecycle, nowMs: number): ServerState {
  return server.lifecycle === lifecycle ? server : { ...server, lifecycle, sinceMs: nowMs };
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
      ? [...server.setupTimesMs, Math.max(0, nowMs - server.wake.requestedAtMs)].slice(-rememberedSetupTimes)
      : server.setupTimesMs;
  const ready = enter(drop(server, 'wake', 'sleep', 'quarantinedUntilMs', 'ejectedUntilMs'), 'ready', nowMs);
  return { ...ready, readyAtMs: nowMs, failedWakes: 0, setupTimesMs };
}

function trace(event: RecordedEvent): { traceparent?: string } {
  return event.traceparent ? { traceparent: event.traceparent } : {};
}

/** Folds one event about a server into its state. Events that do not concern the state leave it as it is. */
export function evolveServer(server: ServerState, event: RecordedEvent): ServerState {
  const rebooted = rebootsWhileServing(server, event) ? warmUp(server, event.timeMs) : server;
  const life = evolveWake(evolveSleep(evolveTruth(rebooted, event), event), event);
  return evolveContradictions(evolveHeartbeat(life, event), event);
}

function evolveWake(server: ServerState, event: RecordedEvent): ServerState {
  const { wake } = server;
  switch (event.type) {
    case 'WakeRequested': {
      // What serves already is awake: health was quicker than the power service. A repeated fact says nothing new.
      const serves = server.lifecycle === 'ready' && server.health === 'healthy';
      if (serves || wake?.wakeId === event.data.wakeId) return server;
      const base = enter(
        drop(server, 'sleep', 'quarantinedUntilMs', 'ejectedUntilMs', 'readyAtMs'),
        'waking',
        event.timeMs,
      );
      const started = {
        wakeId: event.data.wakeId,
        requestedAtMs: event.timeMs,
        reason: event.data.reason,
        rung: 0,
        attempt: 0,
        attemptedAtMs: event.timeMs,
        attemptFailed: false,
        ...trace(event),
      };
      return { ...base, sinceMs: event.timeMs, health: 'unknown', wake: started };
    }
    case 'WakeAttempted': {
      if (wake?.wakeId !== event.data.wakeId) return server;
      const { rung, attempt } = event.data;
      return {
        ...server,
        wake: { ...wake, rung, attempt, attemptedAtMs: event.timeMs, attemptFailed: false },
      };
    }
    case 'WakeAttemptFailed':
      return wake?.wakeId === event.data.wakeId
        ? { ...server, wake: { ...wake, attemptFailed: true } }
        : server;
    case 'WakeTimedOut':
      if (wake?.wakeId !== event.data.wakeId) return server;
      return {
        ...enter(drop(server, 'wake'), 'failed', event.timeMs),
        failedWakes: server.failedWakes + 1,
      };
    case 'ServerQuarantined':
      // It may have come back to ready in the meantime.
      if (server.lifecycle !== 'failed' && server.lifecycle !== 'quarantined') return server;
      return {
        ...enter(drop(server, 'wake'), 'quarantined', event.timeMs),
        quarantinedUntilMs: event.data.untilMs,
      };
    default:
      return server;
  }
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
        proxies: {},
        ...trace(event),
      };
      return { ...enter(drop(server, 'wake'), 'draining', event.timeMs), sleep: started };
    }
    case 'SleepCancelled': {
      if (sleep?.sleepId !== event.data.sleepId) return server;
      const awake = drop(server, 'sleep');
      if (server.lifecycle === 'draining') {
        // One that never was ready (adopted, quarantined) does not become so by this.
        return enter(awake, server.readyAtMs === undefined ? 'waking' : 'ready', event.timeMs);
      }
      if (server.powerState === 'off') return server;
      // Once the power-off was sent, only a probe can say that the server serves.
      return { ...enter(drop(awake, 'readyAtMs'), 'waking', event.timeMs), health: 'unknown' };
    }
    case 'SleepAttempted': {
      if (sleep?.sleepId !== event.data.sleepId) return server;
      const { attempt, forced, driver } = event.data;
      const tried = { ...sleep, attempt, forced, driver, attemptedAtMs: event.timeMs, attemptFailed: false };
      return { ...enter(server, 'stopping', event.timeMs), sleep: tried };
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
      return poweredOn(server, event.timeMs);
    case 'ServerPoweredOff':
      return poweredOff(server, event.timeMs);
    case 'PowerStateLost':
      return { ...server, powerState: 'unknown' };
    case 'ServerBecameHealthy':
      if (server.health === 'healthy') return settle(server, event.timeMs);
      return settle({ ...server, health: 'healthy', healthyAtMs: event.timeMs }, event.timeMs);
    case 'ServerBecameUnhealthy':
      return { ...server, health: 'unhealthy' };
    case 'SleepVerified':
      if (!awaitsSleepProof(server)) return server;
      return {
        ...enter(drop(server, 'sleep', 'readyAtMs'), 'asleep', event.timeMs),
        health: 'unknown',
        sleptAtMs: [...server.sleptAtMs, event.timeMs].slice(-rememberedSleeps),
      };
    case 'SleepContradicted':
      // Late, when it is being woken or its hardware says on by now.
      if (server.lifecycle !== 'asleep' && !(server.lifecycle === 'stopping' && server.powerState === 'off'))
        return server;
      return enter(drop(server, 'sleep'), 'failed', event.timeMs);
    case 'ServerEjected':
      return { ...server, ejectedUntilMs: Math.max(server.ejectedUntilMs ?? 0, event.data.untilMs) };
    case 'ServerCordoned':
      return { ...server, cordoned: true };
    case 'ServerUncordoned':
      return { ...server, cordoned: false };
    default:
      return server;
  }
}

/**
 * Is the hardware off, and does silence prove the sleep? Not after a failed wake: that one is to be quarantined,
 * and as a sleeper it would be woken again at once.
 */
export function awaitsSleepProof(server: ServerState): boolean {
  if (server.powerState !== 'off') return false;
  return server.lifecycle === 'stopping' || (server.lifecycle === 'failed' && server.failedWakes === 0);
}

/** It is another boot than the one that was ready: looked at as one that wakes. */
function warmUp(server: ServerState, nowMs: number): ServerState {
  return { ...enter(drop(server, 'sleep', 'readyAtMs'), 'waking', nowMs), health: 'unknown' };
}

function poweredOn(server: ServerState, nowMs: number): ServerState {
  const on: ServerState = { ...server, powerState: 'on' };
  const wasDown = server.powerState === 'off' || !server.sleep;
  if (server.lifecycle === 'asleep' || (server.lifecycle === 'stopping' && wasDown)) {
    // Nobody asked for it, or it came back by itself: it is looked at as one that wakes.
    return { ...enter(drop(on, 'sleep'), 'waking', nowMs), health: 'unknown' };
  }
  const woken: ServerState = on.wake ? { ...on, wake: { ...on.wake, poweredOnAtMs: nowMs } } : on;
  return settle(woken, nowMs);
}

function poweredOff(server: ServerState, nowMs: number): ServerState {
  const off: ServerState = { ...drop(server, 'readyAtMs'), powerState: 'off', health: 'unknown' };
  // Proven asleep before its hardware could not be read for a while; or given up, with the quarantine still to come.
  const isSettled = off.lifecycle === 'asleep' || off.lifecycle === 'quarantined';
  if (isSettled || (off.lifecycle === 'failed' && off.failedWakes > 0)) return off;
  if (off.lifecycle === 'waking' && off.wake) {
    const { poweredOnAtMs: _lost, ...wake } = off.wake;
    return { ...off, wake };
  }
  return { ...off, lifecycle: 'stopping', sinceMs: nowMs };
}
