import { isDeepStrictEqual } from 'node:util';
import type { Span } from '@opentelemetry/api';
import type { Subscription } from '../../libs/bus/mod.ts';
import {
  createPoolDemand,
  decideCapacity,
  decisionIsNews,
  demandSettings,
  type PoolDemand,
} from '../../libs/domain/mod.ts';
import { type EventOf, type EventType, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { createCrew, startLoop } from '../../libs/runtime/loop.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { traceparentOf, withSpan } from '../../libs/runtime/telemetry.ts';
import { plannerSamples } from './metrics.ts';

/** A decision that is not stored within this time is out of date: the next one is made on newer load. */
const publishTimeoutMs = 5_000;

/** Until the pool's settings are known. */
const idleIntervalMs = 1_000;
/** The load of the last day teaches a planner that has just started. */
const rememberedMs = 86_400_000;

interface PoolLoad {
  readonly demand: PoolDemand;
  /** The trace of a request that waits: the next decision belongs to it. */
  traceparent: string | undefined;
}

/**
 * The planner: follows the load of every pool and decides again and again which servers shall be awake. Its only
 * memory is what the streams hold, so one that restarts knows what the last one knew.
 */
export async function startPlanner(context: ServiceContext): Promise<RunningService> {
  const { bus, log, nowMs } = context;
  const view = await openFleetView({
    bus,
    name: 'planner',
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const pools = new Map<string, PoolLoad>();

  const loadOf = (pool: string): PoolLoad => {
    let load = pools.get(pool);
    if (!load) {
      load = { demand: createPoolDemand(), traceparent: undefined };
      pools.set(pool, load);
    }
    return load;
  };
  const observe = (event: EventOf<'LoadSampled'>) => {
    const load = loadOf(event.data.pool);
    const { proxy, intervalMs, arrivals, inFlight, parked, stopping } = event.data;
    load.demand.observe({ proxy, timeMs: event.timeMs, intervalMs, arrivals, inFlight, parked, stopping });
    if (parked === 0) return;
    load.traceparent = event.traceparent;
    loops.get(event.data.pool)?.wakeUp();
  };
  const loops = createCrew((pool) =>
    startLoop({
      work: () => decide(context, view, pool, loadOf(pool)),
      delayMs: () => view.fleet.config?.pools[pool]?.planner.decideIntervalMs ?? idleIntervalMs,
      onError: (error) => log.warn({ pool, error: messageOf(error) }, 'no decision'),
    }),
  );
  // The past first, and to its end: it teaches the forecast, but what the servers could take then is not known any more.
  let lastSequence = 0;
  for await (const event of bus.history('TELEMETRY', 1, subjectFilters.load)) {
    lastSequence = event.sequence;
    if (event.type !== 'LoadSampled' || nowMs() - event.timeMs > rememberedMs) continue;
    observe(event);
    const settings = demandSettings(view.fleet, event.data.pool);
    if (settings) loadOf(event.data.pool).demand.advance(event.timeMs, settings);
  }
  const subscription: Subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.load,
    startAt: { sequence: lastSequence + 1 },
    onEvent: (event) => {
      if (event.type === 'LoadSampled') observe(event);
    },
    onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
  });
  const keepLoops = () => loops.keep(Object.keys(view.fleet.pools));
  keepLoops();
  const events = new Map<EventType, number>();
  view.onChange((event) => {
    events.set(event.type, (events.get(event.type) ?? 0) + 1);
    if (event.type === 'FleetConfigured') keepLoops();
    const pool = 'pool' in event.data ? event.data.pool : undefined;
    // A wake that failed or a server that died asks for a substitute at once.
    if (pool && event.type !== 'CapacityDecided') loops.get(pool)?.wakeUp();
  });
  return {
    fleet: () => view.fleet,
    notReady: () => fleetReadiness(view.fleet, bus),
    metrics: () => plannerSamples(view.fleet, events, nowMs()),
    async stop() {
      await loops.stop();
      await subscription.stop();
      await view.close();
    },
  };
}

async function decide(context: ServiceContext, view: FleetView, pool: string, load: PoolLoad): Promise<void> {
  const nowMs = context.nowMs();
  const decision = decideCapacity(view.fleet, pool, load.demand, nowMs);
  if (!decision || !decisionIsNews(view.fleet, decision, nowMs)) return;
  const { log } = context;
  const renewed = isDeepStrictEqual(view.fleet.pools[pool]?.decision?.target, decision.target);
  const { traceparent } = load;
  load.traceparent = undefined;
  const publish = async (span?: Span) => {
    const event = { type: 'CapacityDecided', data: decision, ...traceparentOf(span) } as const;
    const recorded = await view.record(event, publishTimeoutMs);
    const said = { pool, target: decision.target, reason: decision.reason };
    if (recorded) log[renewed ? 'debug' : 'info'](said, 'decided');
    else log.info({ pool }, 'another planner decided first');
  };
  if (!traceparent) return publish();
  const attributes = {
    'nemuri.pool': pool,
    'nemuri.target': decision.target,
    'nemuri.reason': decision.reason,
  };
  await withSpan('decide', traceparent, attributes, publish);
}
