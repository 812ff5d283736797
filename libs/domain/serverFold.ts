import type { RecordedEvent } from '../events/mod.ts';
import type { Lifecycle, ServerState } from './server.ts';

/** Bound of the commands and power cycles that a server's state remembers. */
export const rememberedActions = 64;

/** The state with another lifecycle, from now on; the same one when it is there already. */
export function enter(server: ServerState, lifecycle: Lifecycle, nowMs: number): ServerState {
  return server.lifecycle === lifecycle ? server : { ...server, lifecycle, sinceMs: nowMs };
}

/** The trace of an event, to be kept with what it began. */
export function trace(event: RecordedEvent): { traceparent?: string } {
  return event.traceparent ? { traceparent: event.traceparent } : {};
}

/** Remembers that its hardware was sent a command. A repeated fact says nothing new. */
export function acted(server: ServerState, nowMs: number): ServerState {
  if (server.actionsAtMs.at(-1) === nowMs) return server;
  return { ...server, actionsAtMs: [...server.actionsAtMs, nowMs].slice(-rememberedActions) };
}
