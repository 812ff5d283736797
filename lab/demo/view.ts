import type { Bus, Subscription } from '../../libs/bus/mod.ts';
import type { Fleet } from '../../libs/domain/mod.ts';
import type { EventData, EventType, RecordedEvent } from '../../libs/events/mod.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';

/** What the demo, a subscriber like any other, has seen on the streams. */
export interface DemoView {
  readonly fleet: Fleet;
  readonly counts: Partial<Record<EventType, number>>;
  /** Requests that were parked, over all proxies. */
  readonly parked: number;
  readonly latestLoad: EventData<'LoadSampled'> | undefined;
  readonly wattsOf: (server: string) => number | undefined;
  /** Load and ready capacity in requests/s, oldest first. */
  readonly points: readonly { readonly rps: number; readonly capacityRps: number }[];
  /** The last decisions' sentences, newest last. */
  readonly decisions: readonly { readonly timeMs: number; readonly reason: string }[];
  /** Counts from zero again: the experiment begins. */
  reset(): void;
  whenFleet(condition: (fleet: Fleet) => boolean, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const keptPoints = 600;
const keptDecisions = 4;

export async function openDemoView(bus: Bus, nowMs: () => number): Promise<DemoView> {
  let counts: Partial<Record<EventType, number>> = {};
  let parked = 0;
  let latestLoad: EventData<'LoadSampled'> | undefined;
  const watts = new Map<string, number>();
  const points: { rps: number; capacityRps: number }[] = [];
  const decisions: { timeMs: number; reason: string }[] = [];

  const count = (event: RecordedEvent) => {
    counts[event.type] = (counts[event.type] ?? 0) + 1;
  };
  const view: FleetView = await openFleetView({ bus, name: 'demo', onProblem: () => {} });
  view.onChange((event) => {
    count(event);
    if (event.type !== 'CapacityDecided' || event.data.reason === decisions.at(-1)?.reason) return;
    decisions.push({ timeMs: event.timeMs, reason: event.data.reason });
    if (decisions.length > keptDecisions) decisions.shift();
  });
  const telemetry: Subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    startAt: { sinceMs: nowMs() },
    onEvent: (event) => {
      count(event);
      if (event.type === 'PowerMetered') watts.set(event.data.server, event.data.powerWatts);
      if (event.type !== 'LoadSampled' || event.data.stopping) return;
      latestLoad = event.data;
      parked += event.data.newlyParked;
      const rps = (event.data.arrivals * 1_000) / event.data.intervalMs;
      points.push({ rps, capacityRps: readyCapacity(view.fleet) });
      if (points.length > keptPoints) points.shift();
    },
  });
  return {
    fleet: view.fleet,
    get counts() {
      return counts;
    },
    get parked() {
      return parked;
    },
    get latestLoad() {
      return latestLoad;
    },
    wattsOf: (server) => watts.get(server),
    points,
    decisions,
    reset() {
      counts = {};
      parked = 0;
      points.length = 0;
    },
    whenFleet: (condition, signal) => view.when(condition, signal),
    async close() {
      await telemetry.stop();
      await view.close();
    },
  };
}

function readyCapacity({ servers, config }: Fleet): number {
  let capacityRps = 0;
  for (const server of Object.values(servers)) {
    if (server.lifecycle === 'ready') capacityRps += config?.servers[server.name]?.capacityRps ?? 0;
  }
  return capacityRps;
}
