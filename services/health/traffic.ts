import type { Subscription } from '../../libs/bus/mod.ts';
import type { TrafficWitness } from '../../libs/domain/mod.ts';
import { type EventOf, subjectFilters } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { ServiceContext } from '../../libs/runtime/service.ts';

/** What the proxies see of each server, by their own requests. */
export interface Traffic {
  witness(server: string): TrafficWitness;
  stop(): Promise<void>;
}

interface Seen {
  /** When it came, by the monotonic clock. */
  readonly heardMs: number;
  readonly good: boolean;
  readonly bad: boolean;
}

/** A sample is worth as long as the next two could have come. */
const samplesWorth = 2.5;

export interface TrafficOptions extends Pick<ServiceContext, 'bus' | 'log'> {
  readonly view: Pick<FleetView, 'fleet' | 'onChange'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/**
 * Follows the samples and ejections of the proxies. All counts from when it was heard: a proxy whose clock is ahead
 * would contradict the probes for as long as it is ahead.
 */
export async function followTraffic(options: TrafficOptions): Promise<Traffic> {
  const { bus, log, view } = options;
  const { monotonicMs } = options.clock;
  /** Server → proxy → what it last saw. */
  const seen = new Map<string, Map<string, Seen>>();
  /** Server → proxy → until when it sends nothing there, by the monotonic clock. */
  const ejected = new Map<string, Map<string, number>>();

  const observe = ({ data }: EventOf<'LoadSampled'>) => {
    for (const [server, { completed, failed }] of Object.entries(data.servers)) {
      const proxies = seen.get(server) ?? new Map<string, Seen>();
      seen.set(server, proxies);
      const bad = failed > 0 && failed >= completed;
      if (completed > 0 || failed > 0)
        proxies.set(data.proxy, { heardMs: monotonicMs(), good: completed > 0 && !bad, bad });
    }
  };
  const subscription: Subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.load,
    startAt: 'new',
    onEvent: (event) => {
      if (event.type === 'LoadSampled') observe(event);
    },
    onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
  });
  const forget = view.onChange((event) => {
    if (event.type === 'FleetConfigured') {
      for (const server of seen.keys()) if (!Object.hasOwn(view.fleet.servers, server)) seen.delete(server);
      for (const server of ejected.keys())
        if (!Object.hasOwn(view.fleet.servers, server)) ejected.delete(server);
    }
    if (event.type === 'EjectionLifted') ejected.delete(event.data.server);
    if (event.type !== 'ServerEjected') return;
    const proxies = ejected.get(event.data.server) ?? new Map<string, number>();
    const lastsMs = Math.max(0, event.data.untilMs - event.timeMs);
    ejected.set(event.data.server, proxies.set(event.data.proxy, monotonicMs() + lastsMs));
  });
  return {
    witness(server) {
      const timeMs = monotonicMs();
      const worthMs = (view.fleet.config?.bounds.sampleIntervalMs ?? 0) * samplesWorth;
      const failing = new Set<string>();
      const good = new Set<string>();
      for (const [proxy, untilMs] of ejected.get(server) ?? []) if (timeMs < untilMs) failing.add(proxy);
      for (const [proxy, one] of seen.get(server) ?? []) {
        if (timeMs - one.heardMs > worthMs) continue;
        if (one.bad) failing.add(proxy);
        else if (one.good && !failing.has(proxy)) good.add(proxy);
      }
      if (failing.size > 0) return good.size > 0 ? 'split' : 'failing';
      return good.size > 0 ? 'good' : 'idle';
    },
    async stop() {
      forget();
      await subscription.stop();
    },
  };
}
