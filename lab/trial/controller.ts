import type { Candidates, CapacityDecision } from '../../libs/domain/mod.ts';
import {
  candidatesOf,
  createPoolDemand,
  decisionIsNews,
  demandSettings,
  floorOf,
  pick,
} from '../../libs/domain/mod.ts';
import { subjectFilters } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import {
  fleetReadiness,
  type RunningService,
  runService,
  type ServiceContext,
} from '../../libs/runtime/service.ts';
import { reactive } from '../simulation/policies/reactive.ts';
import { testBed } from '../simulation/world.ts';

/**
 * What stands in the planner's place in the arms that Nemuri is compared with: the same life of a process, the same
 * load from the same streams, the same decision event, so that proxy, power and health are the same in all arms.
 * `NEMURI_TRIAL_ARM` says which: every server always on, or the reactive threshold of the simulation with a margin and
 * a cool-down as an operator would set them.
 */
export const reactiveParameters = {
  sampleSeconds: 20,
  margin: 0.3,
  downUtilization: 0.7,
  coolDownSeconds: 300,
};
const pool = process.env.NEMURI_TRIAL_POOL ?? 'web';
/** Own machines keep their times whatever the speed of the series, and so does a rule that was set for them. */
const byTheClock = process.env.NEMURI_TRIAL_CLOCK === 'own';
const dayMs = 86_400_000;
const tolerance = 1e-9;
const publishTimeoutMs = 5_000;
const idleIntervalMs = 1_000;

async function startController(context: ServiceContext): Promise<RunningService> {
  const { bus, log, nowMs } = context;
  const view = await openFleetView({
    bus,
    name: 'planner',
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const decideServers = process.env.NEMURI_TRIAL_ARM === 'reactive' ? createReactive() : undefined;
  const demand = createPoolDemand();
  const subscription = await bus.subscribe({
    stream: 'TELEMETRY',
    filter: subjectFilters.load,
    startAt: 'new',
    onEvent({ type, timeMs, data }) {
      if (type === 'LoadSampled') demand.observe({ ...data, timeMs });
    },
  });
  const settingsOf = () => view.fleet.config?.pools[pool]?.planner;
  const loop = startLoop({
    work: async () => {
      const settings = demandSettings(view.fleet, pool);
      const planner = settingsOf();
      if (!settings || !planner) return;
      const now = nowMs();
      // The threshold looks at the rate of its own sample window, in the time of the series.
      const ruleDayMs = byTheClock ? dayMs : planner.dayMs;
      const windowMs = (reactiveParameters.sampleSeconds * 1_000 * ruleDayMs) / dayMs;
      const seen = demand.demand(now, {
        ...settings,
        burstWindowMs: Math.max(windowMs, 2 * settings.sampleIntervalMs),
      });
      const candidates = candidatesOf(view.fleet, pool, now);
      const { all: servers } = candidates;
      const isPaused = view.fleet.pools[pool]?.paused === true;
      const wanted =
        decideServers && seen.liveProxies > 0 && !isPaused
          ? decideServers(seen.nowRps, (now * dayMs) / ruleDayMs / 1_000, servers)
          : servers.length;
      const floor = Math.max(1, floorOf(view.fleet, pool));
      const decision = decisionOf(Math.max(floor, wanted), floor, candidates, seen, planner.leaseMs);
      if (decisionIsNews(view.fleet, decision, now))
        await view.record({ type: 'CapacityDecided', data: decision }, publishTimeoutMs);
    },
    delayMs: () => settingsOf()?.decideIntervalMs ?? idleIntervalMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'no decision'),
  });
  view.onChange((event) => {
    if (event.type !== 'CapacityDecided') loop.wakeUp();
  });
  return {
    fleet: () => view.fleet,
    notReady: () => fleetReadiness(view.fleet, bus),
    async stop() {
      await loop.stop();
      await subscription.stop();
      await view.close();
    },
  };
}

/** The counting policy of the simulation, asked for each second of the series that has passed. */
function createReactive() {
  let policy: ReturnType<typeof reactive.create> | undefined;
  let second = 0;
  let lastSeconds: number | undefined;
  let target = 0;
  return (rps: number, seriesSeconds: number, servers: Candidates['all']): number => {
    const capacityRps = servers.reduce((sum, server) => sum + server.capacityRps, 0) / servers.length;
    policy ??= reactive.create({ ...testBed, servers: servers.length, capacityRps }, reactiveParameters);
    const passed = lastSeconds === undefined ? 1 : Math.floor(seriesSeconds - lastSeconds);
    lastSeconds = (lastSeconds ?? seriesSeconds - 1) + passed;
    for (let step = 0; step < passed; step += 1) {
      target = policy.decide({ second, arrivals: rps, waiting: 0, ready: 0, waking: 0 });
      second += 1;
    }
    return Math.min(servers.length, Math.max(1, target));
  };
}

function decisionOf(
  wanted: number,
  floor: number,
  { all: servers, inOrderOfCost }: Candidates,
  seen: {
    readonly nowRps: number;
    readonly parked: number;
    readonly inFlight: number;
    readonly liveProxies: number;
    readonly observedForMs: number;
  },
  leaseMs: number,
): CapacityDecision {
  // The rule counts equal servers; unequal ones must be as many as have that capacity.
  const meanRps =
    servers.reduce((sum, { capacityRps }) => sum + capacityRps, 0) / Math.max(1, servers.length);
  const chosen = pick(inOrderOfCost, { minimum: wanted, rps: wanted * meanRps * (1 - tolerance) });
  const round = (value: number) => Math.round(value * 10) / 10;
  return {
    pool,
    target: chosen.map(({ name }) => name).sort(),
    inputs: {
      nowRps: round(seen.nowRps),
      levelRps: round(seen.nowRps),
      keepRps: round(seen.nowRps),
      risk: 0,
      horizonMs: 0,
      parked: seen.parked,
      inFlight: seen.inFlight,
      proxies: seen.liveProxies,
      observedForMs: seen.observedForMs,
      neededServers: wanted,
      keptServers: wanted,
      capacityRps: round(chosen.reduce((sum, { capacityRps }) => sum + capacityRps, 0)),
      countedServers: servers.filter(({ lifecycle }) => lifecycle === 'ready').length,
      floor,
      spareServers: 0,
      headroom: reactiveParameters.margin,
      breakEvenMs: 0,
    },
    forecastRps: round(seen.nowRps),
    validForMs: leaseMs,
    reason: `${wanted} of ${servers.length} servers for ${round(seen.nowRps)} requests/s, by a rule without forecast`,
  };
}

void runService('planner', startController);
