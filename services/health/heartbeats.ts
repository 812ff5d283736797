import type { Subscription } from '../../libs/bus/mod.ts';
import {
  clockJumped,
  factOfHeartbeat,
  factOfSilence,
  type Hearing,
  type HeartbeatFact,
  type ServerState,
} from '../../libs/domain/mod.ts';
import { type EventDraft, type EventOf, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

/** The next heartbeat says it again. */
const publishTimeoutMs = 2_000;
const idleIntervalMs = 1_000;
/** Looks for silence in one lease. */
const looksPerLease = 8;

/** What the servers say of themselves: followed, and published where it is news. */
export interface Heartbeats {
  /** Was it heard within the lease, by the clock of this process? With `sinceMs`: also after that time. */
  speaks(server: string, sinceMs?: number): boolean;
  /** Epoch ms at which its clock was last found to have jumped between two heartbeats. */
  clockJumpedMs(server: string): number | undefined;
  stop(): Promise<void>;
}

export interface HeartbeatsOptions extends Pick<ServiceContext, 'bus' | 'log' | 'nowMs' | 'clock'> {
  readonly view: FleetView;
}

/** Silence is measured by the arrival of heartbeats: the clocks of 2,000 servers are not to be trusted. */
export async function followHeartbeats(options: HeartbeatsOptions): Promise<Heartbeats> {
  const { bus, log, nowMs, view } = options;
  let listeningSinceMs = nowMs();
  const heardMs = new Map<string, number>();
  const hearings = new Map<string, Hearing>();
  const jumpedMs = new Map<string, number>();
  const busy = new Map<string, Promise<void>>();
  /** The latest of each server that came while a fact about it was on its way. */
  const waiting = new Map<string, EventOf<'HeartbeatSent'>>();

  const leaseMs = () => view.fleet.config?.bounds.heartbeatLeaseMs ?? 0;
  const silentMs = (server: string) => nowMs() - (heardMs.get(server) ?? listeningSinceMs);
  const publish = (state: ServerState, fact: HeartbeatFact | undefined) => {
    if (!fact) return;
    const done = view
      .record(draftOf(state, fact), publishTimeoutMs)
      .then((recorded) => {
        if (recorded) log.info({ server: state.name, ...fact }, fact.type);
      })
      .catch((error) =>
        log.warn({ server: state.name, error: messageOf(error) }, 'heartbeat fact not stored'),
      )
      .finally(() => {
        busy.delete(state.name);
        const latest = waiting.get(state.name);
        waiting.delete(state.name);
        if (latest) judge(latest);
      });
    busy.set(state.name, done);
  };
  const judge = (event: EventOf<'HeartbeatSent'>) => {
    const state = stateOf(view, event.data.server);
    if (!state) return;
    if (busy.has(state.name)) waiting.set(state.name, event);
    else publish(state, factOfHeartbeat(state, event.data, event.timeMs));
  };
  const followClock = ({ data: { server }, timeMs }: EventOf<'HeartbeatSent'>) => {
    const hearing = { sentMs: timeMs, heardMs: nowMs() };
    const before = hearings.get(server);
    const { clockJumpMs } = view.fleet.config?.bounds ?? {};
    if (before && clockJumpMs && clockJumped(before, hearing, clockJumpMs))
      jumpedMs.set(server, hearing.heardMs);
    hearings.set(server, hearing);
  };
  const hear = (event: EventOf<'HeartbeatSent'>) => {
    if (!stateOf(view, event.data.server)) return;
    heardMs.set(event.data.server, nowMs());
    followClock(event);
    judge(event);
  };
  const subscription: Subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.heartbeat,
    startAt: 'new',
    onEvent: (event) => {
      if (event.type === 'HeartbeatSent') hear(event);
    },
    onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
  });
  const watch = startLoop({
    clock: options.clock,
    async work() {
      // Nothing is heard without the bus: that is no silence of the servers.
      if (bus.lostSinceMs !== undefined) {
        listeningSinceMs = nowMs();
        heardMs.clear();
        hearings.clear();
        return;
      }
      for (const map of [heardMs, hearings, jumpedMs])
        for (const server of map.keys()) if (!stateOf(view, server)) map.delete(server);
      for (const state of Object.values(view.fleet.servers)) {
        if (!busy.has(state.name)) publish(state, factOfSilence(state, silentMs(state.name), leaseMs()));
      }
    },
    delayMs: () => Math.max(1, leaseMs() / looksPerLease) || idleIntervalMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'heartbeats not looked at'),
  });
  return {
    speaks: (server, sinceMs = 0) => (heardMs.get(server) ?? 0) > sinceMs && silentMs(server) <= leaseMs(),
    clockJumpedMs: (server) => jumpedMs.get(server),
    async stop() {
      await watch.stop();
      await subscription.stop();
      await Promise.all(busy.values());
    },
  };
}

function stateOf(view: FleetView, server: string): ServerState | undefined {
  return Object.hasOwn(view.fleet.servers, server) ? view.fleet.servers[server] : undefined;
}

function draftOf({ name, pool }: ServerState, fact: HeartbeatFact): EventDraft {
  const { type, ...said } = fact;
  return { type, data: { server: name, pool, ...said } } as EventDraft;
}
