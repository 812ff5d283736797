import type { Fleet, ServerState } from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';

/** Past this the drain is looked at again: a fact that could not be stored is still to be said. */
const publishTimeoutMs = 5_000;

export interface Drains {
  /** Something changed: say what is to be said. */
  look(): void;
  stop(): void;
}

export interface DrainsOptions {
  readonly view: FleetView;
  readonly proxy: string;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** Requests this proxy has in flight on the server. */
  readonly inFlightOn: (server: string) => number;
  /** It is told that the time of this server's drain is over: what is still open there will be cut. */
  readonly onTimedOut: (server: string) => void;
}

type SaidOfDrain = 'draining' | 'drained' | 'timedOut';

/**
 * Says of each draining server how far this proxy is: started, drained (nothing in flight, and nothing new goes
 * there), or timed out. What was said is read from the fleet, so a restarted proxy goes on where the last one was.
 */
export function followDrains(options: DrainsOptions): Drains {
  const { view, proxy, log, nowMs, clock, inFlightOn, onTimedOut } = options;
  const busy = new Set<string>();
  /** Server → what cancels the look at the end of its time. */
  const timers = new Map<string, () => void>();
  let stopped = false;

  const lookAt = (server: ServerState) => {
    const drainTimeoutMs = view.fleet.config?.pools[server.pool]?.drainTimeoutMs;
    if (stopped || drainTimeoutMs === undefined || busy.has(server.name)) return;
    const event = nextWord(server, proxy, inFlightOn(server.name), drainTimeoutMs, nowMs());
    if (!event) return watchTime(server, drainTimeoutMs);
    busy.add(server.name);
    view
      .record(event, publishTimeoutMs)
      .then(() => {
        if (event.type === 'DrainTimedOut') onTimedOut(server.name);
      })
      .catch((error) => log.warn({ server: server.name, error: messageOf(error) }, 'drain not reported'))
      .finally(() => {
        busy.delete(server.name);
        const now = view.fleet.servers[server.name];
        if (now) lookAt(now);
      });
  };
  const watchTime = (server: ServerState, drainTimeoutMs: number) => {
    timers.get(server.name)?.();
    timers.delete(server.name);
    if (server.lifecycle !== 'draining' || !server.sleep) return;
    const leftMs = server.sleep.requestedAtMs + drainTimeoutMs - nowMs();
    if (leftMs > 0) timers.set(server.name, clock.after(leftMs + 1, look));
  };
  const look = () => {
    for (const server of Object.values(view.fleet.servers)) {
      if (server.lifecycle === 'draining' || timers.has(server.name)) lookAt(server);
    }
  };
  look();
  return {
    look,
    stop() {
      stopped = true;
      for (const cancel of timers.values()) cancel();
    },
  };
}

/** What this proxy has still to say of a drain; pure. */
export function nextWord(
  server: ServerState,
  proxy: string,
  inFlight: number,
  drainTimeoutMs: number,
  nowMs: number,
): EventDraft | undefined {
  const { sleep } = server;
  if (server.lifecycle !== 'draining' || !sleep) return undefined;
  const said: SaidOfDrain | undefined = sleep.proxies[proxy];
  if (said === 'drained' || said === 'timedOut') return undefined;
  const about = { server: server.name, pool: server.pool, proxy, sleepId: sleep.sleepId };
  const elapsedMs = Math.max(0, nowMs - sleep.requestedAtMs);
  if (inFlight === 0) return { type: 'ServerDrained', data: { ...about, elapsedMs } };
  if (elapsedMs >= drainTimeoutMs) return { type: 'DrainTimedOut', data: { ...about, inFlight } };
  return said === undefined ? { type: 'ServerDrainStarted', data: { ...about, inFlight } } : undefined;
}

/** Whether anything is being drained: the common case, asked after each request, is no. */
export function isDraining(fleet: Fleet, server: string): boolean {
  return fleet.servers[server]?.lifecycle === 'draining';
}
