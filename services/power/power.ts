import { setMaxListeners } from 'node:events';
import {
  failAwakeFact,
  type Liveness,
  nobodySeen,
  type PowerAction,
  planPower,
  powerRefusals,
  type ServerView,
  serverViewOf,
  witness,
} from '../../libs/domain/mod.ts';
import { type EventOf, subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { type Lease, leaderLeaseMs, openLease } from '../../libs/runtime/lease.ts';
import { createCrew, startLoop } from '../../libs/runtime/loop.ts';
import type { MetricSample } from '../../libs/runtime/metrics.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { startAccountant } from './accountant.ts';
import { createActions, isAttempt } from './actions.ts';
import { createDriverSet, type MakeDriver } from './driverSet.ts';
import { createDriver } from './drivers/registry.ts';
import { type SentWakes, wakesWithoutBus } from './failAwake.ts';
import { publishTimeoutMs, startMachine } from './machine.ts';
import { meterServer, wattsSample } from './meter.ts';

/** Signs of life that old are read at the start, so that a restart does not take the living for missing. */
const livenessWindowMs = 120_000;
/** A meter reading that can't be stored at once is of no use. */
const meterPublishTimeoutMs = 2_000;
const idleIntervalMs = 2_000;

/** What the proxies sent each server lately, for servers without a meter. */
interface ServerLoads {
  readonly observe: (event: EventOf<'LoadSampled'>) => void;
  readonly rpsOf: (server: string) => number;
}

/**
 * The power actuator: makes the hardware match the latest decision, again and again; reads power states and meters;
 * without planner or bus it fails awake.
 */
export async function startPower(
  context: ServiceContext,
  makeDriver: MakeDriver = (server, method) =>
    createDriver(server, method, { resolveSecret, now: context.nowMs, ask: context.bus.ask }),
): Promise<RunningService> {
  const { bus, log, nowMs, clock } = context;
  let lease: Lease | undefined;
  const leads = () => lease?.isHeld ?? false;
  const view = await openFleetView({
    bus,
    name: 'power',
    mayWrite: leads,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const drivers = createDriverSet(makeDriver);
  // Before any loop runs: an attempt without a driver would end at once, and be planned again at once.
  drivers.configure(view.fleet.config);
  const abort = new AbortController();
  const { signal } = abort;
  // Every reading of every server listens for the end.
  setMaxListeners(0, signal);
  let liveness: Liveness = nobodySeen;
  const loads = createServerLoads();
  const serverView = (server: string) => serverViewOf(view.fleet, server);
  const powerContext = () => ({ fleet: view.fleet, liveness, nowMs: nowMs() });

  const subscriptions = await Promise.all(
    [subjectFilters.load, subjectFilters.probe].map((filter) =>
      bus.subscribe({
        stream: 'TELEMETRY',
        filter,
        startAt: { sinceMs: nowMs() - livenessWindowMs },
        onEvent: (event) => {
          liveness = witness(liveness, event);
          if (event.type === 'LoadSampled') loads.observe(event);
        },
        onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
      }),
    ),
  );
  const machines = createCrew((server) =>
    startMachine({
      server,
      view,
      drivers,
      log,
      signal,
      nowMs,
      clock,
      serverView: () => serverView(server),
      // Without the bus nobody leads, and each has to see by itself who is to be woken.
      looks: () => leads() || bus.lostSinceMs !== undefined,
    }),
  );
  const actions = createActions({
    view,
    drivers,
    log,
    serverView,
    sleepRefusalsNow: (server: ServerView) => powerRefusals(powerContext(), server),
    guard: (objection) => lease?.guard(signal, objection),
    nowMs,
    newId: context.chance.newId,
    onSent: (server) => machines.get(server)?.lookNow(),
  });
  const busy = new Map<string, Promise<void>>();
  const inBackground = (server: string, work: Promise<void>) => {
    const done = work
      .catch((error) => log.warn({ server, error: messageOf(error) }, 'power action not finished'))
      .finally(() => {
        busy.delete(server);
        reconciler.wakeUp();
      });
    busy.set(server, done);
  };

  /** One intent is recorded at a time and the rest planned anew, so that no two rest on the same state. */
  const reconcile = async () => {
    const lostSinceMs = bus.lostSinceMs;
    if (lostSinceMs !== undefined) return failAwake(nowMs() - lostSinceMs);
    if (!leads()) return;
    await tellOfFailAwake();
    let left = Object.keys(view.fleet.servers).length * 2;
    let intent: PowerAction | undefined;
    do {
      const plan = planPower(powerContext()).filter(({ server }) => !busy.has(server));
      for (const action of plan) if (isAttempt(action)) inBackground(action.server, actions.attempt(action));
      intent = plan.find((action) => !isAttempt(action));
      if (intent && !isAttempt(intent)) await actions.record(intent);
      left -= 1;
    } while (intent && left > 0);
  };
  /** That the power service wakes, or has woken, by itself is news for the operator. */
  const tellOfFailAwake = async () => {
    const woken = [...sentWakes.keys()];
    sentWakes.clear();
    for (const pool of Object.keys(view.fleet.config?.pools ?? {})) {
      const own = woken.filter((server) => view.fleet.servers[server]?.pool === pool);
      const reason = `fail awake: the bus was lost, woken by the hardware directly: ${own.join(', ')}`;
      const byBus = {
        type: 'FailAwakeStarted',
        data: { pool, cause: 'bus', lostForMs: busLostForMs, reason },
      } as const;
      const fact = own.length > 0 ? byBus : failAwakeFact(view.fleet, pool, nowMs());
      if (fact && (await view.record(fact, publishTimeoutMs))) log.warn(fact.data, fact.type);
    }
  };
  let busLostForMs = 0;
  const sentWakes = new Map<string, SentWakes>();
  const failAwake = async (lostForMs: number) => {
    busLostForMs = lostForMs;
    const readings = (server: string) => machines.get(server)?.lastReading ?? 'unknown';
    const wakes = wakesWithoutBus(view.fleet, lostForMs, readings, sentWakes, nowMs());
    await Promise.all(
      wakes.map(async ({ server, rung }) => {
        sentWakes.set(server, { count: (sentWakes.get(server)?.count ?? 0) + 1, lastAtMs: nowMs() });
        log.warn({ server, rung, lostForMs }, 'fail awake: the bus is lost, waking by the hardware directly');
        try {
          await drivers.driverOf(server, rung)?.wake(signal);
        } catch (error) {
          log.warn({ server, error: messageOf(error) }, 'fail awake: wake failed');
        }
      }),
    );
  };
  const reconciler = startLoop({
    clock,
    work: reconcile,
    delayMs: () => view.fleet.config?.bounds.reconcileIntervalMs ?? idleIntervalMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'reconciliation not finished'),
  });
  const metered = new Map<string, MetricSample>();
  const meters = createCrew((server) =>
    startLoop({
      clock,
      work: async () => {
        const now = serverView(server);
        if (!now || !leads() || bus.lostSinceMs !== undefined) return;
        const onError = (error: unknown) =>
          log.warn({ server, error: messageOf(error) }, 'meter not readable');
        const metering = drivers.driversOf(server).filter(({ capabilities }) => capabilities.has('meter'));
        const data = await meterServer(now, metering, loads.rpsOf(server), signal, onError);
        metered.set(server, wattsSample(data));
        await bus.publish({ type: 'PowerMetered', data }, { timeoutMs: meterPublishTimeoutMs });
      },
      delayMs: () => view.fleet.config?.bounds.meterIntervalMs ?? idleIntervalMs,
      onError: (error) => log.debug({ server, error: messageOf(error) }, 'meter reading dropped'),
    }),
  );
  const keepUp = () => {
    drivers.configure(view.fleet.config);
    const servers = Object.keys(view.fleet.servers);
    machines.keep(servers);
    meters.keep(servers);
  };
  lease = await openLease({ ...context, leaseMs: () => leaderLeaseMs(view.fleet) });
  lease.onGained(() => {
    for (const machine of machines.all()) machine.lookNow();
    reconciler.wakeUp();
  });
  keepUp();
  // It reads an hour of meters first, which nobody has to wait for.
  const accounting = startAccountant({ bus, view, log, nowMs, clock });
  accounting.catch((error) => log.warn({ error: messageOf(error) }, 'energy is not accounted for'));
  view.onChange((event, fleet) => {
    if (event.type === 'FleetConfigured') keepUp();
    actions.followSpans(fleet);
    reconciler.wakeUp();
  });
  return {
    fleet: () => view.fleet,
    leads,
    notReady: () => fleetReadiness(view.fleet, bus),
    metrics: () => [...metered].flatMap(([server, sample]) => (view.fleet.servers[server] ? [sample] : [])),
    async stop() {
      await reconciler.stop();
      // A command on its way to the hardware is finished; a mere look is broken off.
      await Promise.all(busy.values());
      abort.abort();
      const accountant = await accounting.catch(() => undefined);
      await Promise.all([machines.stop(), meters.stop(), accountant?.stop()]);
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await drivers.close();
      await view.close();
      await lease?.stop();
    },
  };
}

function createServerLoads(): ServerLoads {
  const byProxy = new Map<string, Map<string, number>>();
  return {
    observe({ data }) {
      const rps = new Map<string, number>();
      for (const [server, { completed }] of Object.entries(data.servers)) {
        rps.set(server, data.intervalMs > 0 ? (completed * 1_000) / data.intervalMs : 0);
      }
      if (data.stopping) byProxy.delete(`${data.pool}/${data.proxy}`);
      else byProxy.set(`${data.pool}/${data.proxy}`, rps);
    },
    rpsOf: (server) => [...byProxy.values()].reduce((sum, rps) => sum + (rps.get(server) ?? 0), 0),
  };
}
