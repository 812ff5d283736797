import type { EventData, RecordedEvent } from '../events/mod.ts';
import type { ServerState } from './server.ts';

export type Wish = 'ready' | 'drain' | 'maint';

/** What a server wants of us. */
export interface Saying {
  readonly wish: Wish;
  /** Share of its configured capacity that it wants to be loaded with; left out: all of it. */
  readonly weightPercent?: number;
  /** Requests at once that it takes; left out: what is configured. */
  readonly maxInFlight?: number;
}

/** What a server last said of itself. JSON all through. */
export interface HeartbeatState extends Saying {
  /** Heard within the lease. */
  readonly speaking: boolean;
  /** Epoch ms of the last change of `speaking`. */
  readonly sinceMs: number;
  /** The kernel's id of this boot; a speaker that knows none (agent check) leaves it out. */
  readonly bootId?: string;
}

/** By its own word it gets no new requests: it wishes so, wants no weight, or is about to go down. */
export function isWithdrawn(server: ServerState): boolean {
  const wish = server.heartbeat?.wish ?? 'ready';
  return (
    wish !== 'ready' || server.heartbeat?.weightPercent === 0 || server.shutdownAnnouncedAtMs !== undefined
  );
}

/** What the last heartbeat said, in the form in which facts carry it. */
export function sayingOf(from: Saying): Saying {
  const { wish, weightPercent, maxInFlight } = from;
  return {
    wish,
    ...(weightPercent === undefined ? {} : { weightPercent }),
    ...(maxInFlight === undefined ? {} : { maxInFlight }),
  };
}

function saysTheSame(a: Saying, b: Saying): boolean {
  return a.wish === b.wish && a.weightPercent === b.weightPercent && a.maxInFlight === b.maxInFlight;
}

export type Heartbeat = EventData<'HeartbeatSent'>;

/** A fact that a heartbeat, or its absence, brings to light. */
export type HeartbeatFact =
  | ({ readonly type: 'HeartbeatStarted'; readonly bootId?: string } & Saying)
  | ({ readonly type: 'ServerRebooted'; readonly previousBootId: string; readonly bootId: string } & Saying)
  | ({ readonly type: 'ServerWished' } & Saying)
  | { readonly type: 'ServerShutdownCalledOff'; readonly reason: string }
  | { readonly type: 'HeartbeatLost'; readonly silentMs: number };

/**
 * The one thing that a heartbeat says and the fleet does not know yet; the next heartbeat brings the next.
 * @param sentAtMs by the speaker's clock, as is the announcement of a shutdown.
 */
export function factOfHeartbeat(
  server: ServerState,
  beat: Heartbeat,
  sentAtMs: number,
): HeartbeatFact | undefined {
  const known = server.heartbeat;
  const { bootId } = beat;
  const boot = bootId === undefined ? {} : { bootId };
  if (
    known?.bootId !== undefined &&
    bootId !== undefined &&
    isUnaskedBoot(server, bootId) &&
    shouldServe(server)
  ) {
    return { type: 'ServerRebooted', previousBootId: known.bootId, bootId, ...sayingOf(beat) };
  }
  if (!known?.speaking || (bootId !== undefined && known.bootId !== bootId)) {
    return { type: 'HeartbeatStarted', ...boot, ...sayingOf(beat) };
  }
  if (!saysTheSame(known, beat)) return { type: 'ServerWished', ...sayingOf(beat) };
  const announcedAtMs = server.shutdownAnnouncedAtMs;
  if (announcedAtMs !== undefined && !beat.shuttingDown && sentAtMs > announcedAtMs) {
    return { type: 'ServerShutdownCalledOff', reason: 'it speaks on from the same boot' };
  }
  return undefined;
}

/** A speaker that has been silent past the lease; undefined: it is not missed, or that is known. */
export function factOfSilence(
  server: ServerState,
  silentMs: number,
  leaseMs: number,
): HeartbeatFact | undefined {
  const missed = server.heartbeat?.speaking === true && silentMs > leaseMs;
  return missed ? { type: 'HeartbeatLost', silentMs } : undefined;
}

/** Is this another boot than the one we know of, and not the one that our wake brought about? */
function isUnaskedBoot({ heartbeat, wake, readyAtMs }: ServerState, bootId: string | undefined): boolean {
  if (!heartbeat?.bootId || !bootId || heartbeat.bootId === bootId || wake) return false;
  // Silent since before it was ready: it slept, was woken, and a probe was quicker than its first word.
  return heartbeat.speaking || heartbeat.sinceMs >= (readyAtMs ?? 0);
}

/** Boots nobody asked for, newest last, remembered as far as it takes to see a storm of them. */
function withRestart(server: ServerState, bootId: string | undefined, nowMs: number): ServerState {
  if (!isUnaskedBoot(server, bootId)) return server;
  return { ...server, restartsAtMs: [...(server.restartsAtMs ?? []), nowMs].slice(-rememberedRestarts) };
}
/** `restartStormBoots` is configured to at most 60. */
const rememberedRestarts = 64;

function shouldServe({ lifecycle }: ServerState): boolean {
  return lifecycle === 'ready' || lifecycle === 'draining';
}

/** Does this fact say that the boot which was ready is over? Known of another boot before, it says nothing new. */
export function rebootsWhileServing(server: ServerState, event: RecordedEvent): boolean {
  if (event.type !== 'ServerRebooted' || !shouldServe(server)) return false;
  return server.heartbeat?.bootId !== event.data.bootId;
}

/** Folds what a server says, and what it means for its announcements, into its state. */
export function evolveHeartbeat(server: ServerState, event: RecordedEvent): ServerState {
  switch (event.type) {
    case 'HeartbeatStarted':
    case 'ServerRebooted': {
      const bootId = event.data.bootId ?? server.heartbeat?.bootId;
      const booted = bootId !== server.heartbeat?.bootId;
      const known = booted
        ? withoutAnnouncement(withRestart(server, event.data.bootId, event.timeMs))
        : server;
      return { ...known, heartbeat: speaking(server.heartbeat, event.data, bootId, event.timeMs) };
    }
    case 'ServerWished': {
      const { heartbeat } = server;
      return heartbeat
        ? { ...server, heartbeat: speaking(heartbeat, event.data, heartbeat.bootId, event.timeMs) }
        : server;
    }
    case 'HeartbeatLost':
      return silenced(server, event.timeMs);
    case 'ServerPoweredOff':
      return silenced(withoutAnnouncement(server), event.timeMs);
    case 'ServerShutdownAnnounced':
      return { ...server, shutdownAnnouncedAtMs: event.timeMs };
    case 'ServerShutdownCalledOff':
    // It went down as it said: when probes find it again, it is up again.
    case 'ServerBecameUnhealthy':
      return withoutAnnouncement(server);
    default:
      return server;
  }
}

function withoutAnnouncement(server: ServerState): ServerState {
  if (server.shutdownAnnouncedAtMs === undefined) return server;
  const { shutdownAnnouncedAtMs: _over, ...rest } = server;
  return rest;
}

function silenced(server: ServerState, nowMs: number): ServerState {
  const { heartbeat } = server;
  if (!heartbeat?.speaking) return server;
  return { ...server, heartbeat: { ...heartbeat, speaking: false, sinceMs: nowMs } };
}

function speaking(
  known: HeartbeatState | undefined,
  saying: Saying,
  bootId: string | undefined,
  nowMs: number,
): HeartbeatState {
  const sinceMs = known?.speaking ? known.sinceMs : nowMs;
  return { speaking: true, sinceMs, ...(bootId === undefined ? {} : { bootId }), ...sayingOf(saying) };
}
