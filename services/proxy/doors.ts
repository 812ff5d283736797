import { serversOfPool } from '../../libs/domain/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';
import { followDrains, isDraining } from './drains.ts';
import { createGate, type Gate, type Upstream } from './gate.ts';
import { takeSample } from './load.ts';

const samplePublishTimeoutMs = 2_000;
const ejectionPublishTimeoutMs = 2_000;
const idleSampleIntervalMs = 1_000;

/** The gates of all pools, kept in step with the fleet, and what this proxy says of them. Knows no socket. */
export interface Doors {
  readonly gates: ReadonlyMap<string, Gate>;
  /** All that stands for this server, in its pool or in one it was in when a request was sent to it. */
  upstreamsOf(server: string): readonly Upstream[];
  /** Says that a server gets nothing new from here for a while. */
  onEjected(gate: Gate, upstream: Upstream, untilMs: number, reason: string): void;
  /** The last sample, with which this proxy counts no more. */
  sayGoodBye(): Promise<void>;
  /** Who waits is refused. */
  close(): void;
}

export interface DoorsOptions {
  readonly context: ServiceContext;
  readonly view: FleetView;
  /** There is a new configuration; the gates follow right after. */
  readonly onConfigured: () => void;
  /** It is told that the time of this server's drain is over: what is still open there will be cut. */
  readonly onTimedOut: (server: string) => void;
}

export function openDoors({ context, view, onConfigured, onTimedOut }: DoorsOptions): Doors {
  const { bus, log, nowMs, clock, chance } = context;
  const proxy = context.settings.name;
  const gates = new Map<string, Gate>();

  /** Gates of pools that are configured no more, until the last request in flight there is over. */
  let closed: Gate[] = [];

  const upstreamsOf = (server: string) =>
    [...gates.values(), ...closed]
      .flatMap(({ upstreams, leaving }) => [...upstreams, ...leaving])
      .filter(({ name }) => name === server);
  const inFlightOn = (server: string) => upstreamsOf(server).reduce((sum, { inFlight }) => sum + inFlight, 0);
  const drains = followDrains({ view, proxy, log, nowMs, clock, inFlightOn, onTimedOut });
  const onIdle = (server: string) => {
    if (closed.length > 0) closed = closed.filter(isBusy);
    if (isDraining(view.fleet, server)) drains.look();
  };
  const update = (pools: readonly string[]) => {
    for (const pool of pools) {
      const config = view.fleet.config?.pools[pool];
      if (!config) continue;
      const gate =
        gates.get(pool) ?? createGate({ pool, config, nowMs, clock, random: chance.random, onIdle });
      gates.set(pool, gate);
      gate.update(config, serversOfPool(view.fleet, pool));
    }
  };
  const configure = () => {
    const { config } = view.fleet;
    if (!config) return;
    onConfigured();
    for (const [pool, gate] of gates) {
      if (config.pools[pool]) continue;
      gates.delete(pool);
      gate.close();
      if (isBusy(gate)) closed.push(gate);
    }
    update(Object.keys(config.pools));
  };
  configure();
  view.onChange((event) => {
    if (event.type === 'FleetConfigured') configure();
    else if ('server' in event.data) update([view.fleet.servers[event.data.server]?.pool ?? '']);
    drains.look();
  });

  // A wall clock that was set back must not silence this proxy until it has caught up.
  let sampledAtMs = clock.monotonicMs();
  const sample = async (stopping: boolean) => {
    const timeMs = nowMs();
    const intervalMs = clock.monotonicMs() - sampledAtMs;
    if (intervalMs <= 0 && !stopping) return;
    sampledAtMs += intervalMs;
    const drafts = [...gates.values()].map((gate) => {
      const { parking } = gate;
      const parkedOldestMs = parking.oldestMs === undefined ? 0 : Math.max(0, timeMs - parking.oldestMs);
      const about = {
        pool: gate.pool,
        proxy,
        intervalMs: Math.max(1, intervalMs),
        stopping,
        parked: gate.parkedCount,
      };
      const { traceparent } = parking;
      const data = takeSample({ ...about, parkedOldestMs }, gate.meter, gate.upstreams);
      return { type: 'LoadSampled', data, ...(traceparent ? { traceparent } : {}) } as const;
    });
    await Promise.all(drafts.map((draft) => bus.publish(draft, { timeoutMs: samplePublishTimeoutMs })));
  };
  const sampler = startLoop({
    clock,
    work: () => sample(false),
    delayMs: () => view.fleet.config?.bounds.sampleIntervalMs ?? idleSampleIntervalMs,
    onError: (error) => log.debug({ error: messageOf(error) }, 'load sample dropped'),
  });

  return {
    gates,
    upstreamsOf,
    onEjected({ pool }, upstream, untilMs, reason) {
      log.warn({ server: upstream.name, reason }, 'ejected');
      const data = { server: upstream.name, pool, proxy, reason, untilMs };
      view
        .record({ type: 'ServerEjected', data }, ejectionPublishTimeoutMs)
        .catch((error) => log.debug({ error: messageOf(error) }, 'ejection not reported'));
    },
    async sayGoodBye() {
      await sampler.stop();
      drains.stop();
      await sample(true).catch((error) => log.debug({ error: messageOf(error) }, 'good-bye not said'));
    },
    close() {
      for (const gate of gates.values()) gate.close();
    },
  };
}

function isBusy({ upstreams, leaving }: Gate): boolean {
  return leaving.length > 0 || upstreams.some(({ inFlight }) => inFlight > 0);
}
