import { isDeepStrictEqual } from 'node:util';
import type { Span } from '@opentelemetry/api';
import type { Subscription } from '../../libs/bus/mod.ts';
import { decideCapacity, decisionIsNews } from '../../libs/domain/mod.ts';
import { type EventOf, type EventType, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { type Lease, leaderLeaseMs, openLease } from '../../libs/runtime/lease.ts';
import { createCrew, startLoop } from '../../libs/runtime/loop.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { traceparentOf, withSpan } from '../../libs/runtime/telemetry.ts';
import { createCapacities } from './capacities.ts';
import { type PoolLoad, recallLoad } from './memory.ts';
import { plannerSamples } from './metrics.ts';

/** A decision that is not stored within this time is out of date: the next one is made on newer load. */
const publishTimeoutMs = 5_000;

/** Until the pool's settings are known. */
const idleIntervalMs = 1_000;
/** What was learned of the load is saved so often: so much is learned again after a crash. */
const saveIntervalMs = 600_000;
const saveLookMs = 10_000;

/**
 * The planner: follows the load of every pool and decides again and again which servers shall be awake. Its
 * memory is what the streams hold and what it saved of them, so one that restarts knows what the last one knew.
 */
export async function startPlanner(context: ServiceContext): Promise<RunningService> {
  const { bus, log, nowMs, clock } = context;
  let lease: Lease | undefined;
  const view = await openFleetView({
    bus,
    name: 'planner',
    keepsCheckpoints: true,
    mayWrite: () => lease?.isHeld ?? false,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const memory = await recallLoad({ bus, log, nowMs, fleet: () => view.fleet });
  const capacities = createCapacities({ view, log });
  const observe = (event: EventOf<'LoadSampled'>) => {
    memory.observe(event);
    if (lease?.isHeld) capacities.observe(event);
    const { pool, parked } = event.data;
    if (parked === 0) return;
    memory.of(pool).traceparent = event.traceparent;
    loops.get(pool)?.wakeUp();
  };
  const loops = createCrew((pool) =>
    startLoop({
      clock,
      work: async () => {
        if (lease?.isHeld) await decide(context, view, pool, memory.of(pool));
      },
      delayMs: () => view.fleet.config?.pools[pool]?.planner.decideIntervalMs ?? idleIntervalMs,
      onError: (error) => log.warn({ pool, error: messageOf(error) }, 'no decision'),
    }),
  );
  const subscription: Subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.load,
    startAt: { sequence: memory.lastSequence + 1 },
    onReplaced: () => {
      memory.startOver();
      return 'new';
    },
    onEvent: (event) => {
      if (event.type === 'LoadSampled') observe(event);
    },
    onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
  });
  let savedAtMs = nowMs();
  const saver = startLoop({
    clock,
    async work() {
      if (nowMs() - savedAtMs < saveIntervalMs || !lease?.isHeld) return;
      savedAtMs = nowMs();
      await memory.save();
    },
    delayMs: () => saveLookMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'load memory not saved'),
  });
  lease = await openLease({ ...context, leaseMs: () => leaderLeaseMs(view.fleet) });
  lease.onGained(() => {
    for (const one of loops.all()) one.wakeUp();
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
    leads: () => lease?.isHeld ?? false,
    notReady: () => fleetReadiness(view.fleet, bus),
    metrics: () => plannerSamples(view.fleet, events, nowMs()),
    async stop() {
      await loops.stop();
      await saver.stop();
      await subscription.stop();
      if (lease?.isHeld && bus.lostSinceMs === undefined) await memory.save();
      await view.close();
      await lease?.stop();
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
