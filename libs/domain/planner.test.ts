import fc from 'fast-check';
import type { FleetConfig } from '../events/mod.ts';
import type { Fleet } from './fleet.ts';
import { decideCapacity, decisionIsNews } from './planner.ts';
import { createPoolDemand, type PoolDemand } from './poolDemand.ts';
import { expectedSetupMs } from './selection.ts';
import type { Lifecycle, ServerState } from './server.ts';
import {
  asleepState,
  fleetConfig,
  readyState,
  scriptedFleet,
  serverNames,
  startMs,
  viewOf,
  withDecision,
  withServers,
} from './testing/builders.ts';

const nowMs = startMs + 3_600_000;
const energy = { offWatts: 10, idleWatts: 140, busyWatts: 200, setupWatts: 200, setupTimeMs: 26_000 };
/** Break-even after 38 s. */
const config = (overrides: Parameters<typeof fleetConfig>[0] = {}) =>
  fleetConfig({ servers: 6, server: { energy, ...overrides.server }, ...overrides });

interface Known {
  /** The highest rate to reckon with. */
  readonly rps: number;
  readonly heldRps?: number;
  readonly nowRps?: number;
  readonly parked?: number;
  readonly inFlight?: number;
  readonly proxies?: number;
  readonly seconds?: number;
  readonly quietMs?: number;
}

/** A demand of which just this is known. */
function demandOf(known: Known): PoolDemand {
  const { rps, heldRps = 0, nowRps = rps, parked = 0, inFlight = 0, proxies = 1 } = known;
  return {
    observe: () => undefined,
    advance: () => undefined,
    demand: () => ({
      nowRps,
      parked,
      inFlight,
      liveProxies: proxies,
      missingProxies: 0,
      observedForMs: (known.seconds ?? 3_600) * 1_000,
    }),
    upperRps: () => rps,
    heldUpperRps: () => heldRps,
    levelRps: rps,
    forecast: undefined,
    quietForMs: () => known.quietMs ?? 0,
    save: () => createPoolDemand().save(),
  };
}
const load = (rps: number, seconds?: number) => demandOf(seconds === undefined ? { rps } : { rps, seconds });

/** The first `ready` servers are ready, the rest asleep. */
function fleetOf(ready: number, setup: FleetConfig = config()): Fleet {
  const { fleet } = scriptedFleet(setup);
  const names = Object.keys(setup.servers);
  return withServers(
    fleet,
    Object.fromEntries(names.map((name, index) => [name, index < ready ? readyState : asleepState])),
  );
}

function decide(fleet: Fleet, demand: PoolDemand) {
  const decision = decideCapacity(fleet, 'web', demand, nowMs);
  if (!decision) throw new Error('no decision');
  return decision;
}
const target = (fleet: Fleet, demand: PoolDemand) => decide(fleet, demand).target;

describe('enough and no more', () => {
  test.each([
    [0, 1],
    [100, 1],
    [101, 2],
    [200, 2],
    [201, 3],
    [10_000, 6],
  ])('up to %d requests/s need %d servers of 100', (rps, servers) => {
    expect(target(fleetOf(6), load(rps))).toEqual(serverNames(servers));
  });

  test('headroom is a share on top', () => {
    const fleet = fleetOf(6, config({ pool: { planner: { headroom: 0.2 } } }));
    expect(target(fleet, load(83))).toHaveLength(1);
    expect(target(fleet, load(84))).toHaveLength(2);
  });

  test('more than can be served now, or a queue, is not left to the forecast', () => {
    expect(target(fleetOf(1), demandOf({ rps: 50, nowRps: 250 }))).toHaveLength(3);
    expect(target(fleetOf(2), demandOf({ rps: 50, nowRps: 150, parked: 600 }))).toHaveLength(2);
    expect(target(fleetOf(2), demandOf({ rps: 50, nowRps: 195, parked: 600 }))).toHaveLength(3);
  });

  test('a load that is hardly known may double', () => {
    expect(target(fleetOf(1), demandOf({ rps: 90, nowRps: 80, seconds: 80 }))).toHaveLength(2);
    expect(target(fleetOf(1), demandOf({ rps: 90, nowRps: 80, seconds: 95 }))).toHaveLength(1);
  });

  test('by the clock at least so many are awake, whatever the load', () => {
    const schedule = {
      days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
      from: '00:00',
      to: '23:59',
      minServers: 4,
    };
    const fleet = fleetOf(1, config({ pool: { planner: { schedules: [schedule] } } }));
    const decision = decide(fleet, load(50));
    expect(decision.target).toHaveLength(4);
    expect(decision.reason).toContain('4 by schedule');
  });

  test('spares come on top', () => {
    expect(target(fleetOf(6, config({ pool: { spareServers: 2 } })), load(50))).toHaveLength(3);
  });

  test('the pinned floor holds', () => {
    const fleet = fleetOf(6);
    const pinned = { ...fleet, pools: { web: { name: 'web', paused: false, pinnedServers: 4 } } };
    expect(target(pinned, load(0))).toHaveLength(4);
  });

  test('a floor of none lets all sleep when nobody has come for a while, and one waiting request wakes one', () => {
    const fleet = fleetOf(2, config({ pool: { minServers: 0 } }));
    const quiet = { rps: 40, nowRps: 0, quietMs: 60_000 };
    expect(target(fleet, demandOf(quiet))).toEqual([]);
    expect(target(fleet, demandOf({ ...quiet, quietMs: 30_000 }))).toEqual(['s1']);
    expect(target(fleet, demandOf({ ...quiet, parked: 1 }))).toEqual(['s1']);
    expect(target(fleetOf(2), demandOf({ ...quiet, rps: 150 }))).toHaveLength(2);
  });

  test('what is awake is chosen before what sleeps, and the thriftier before the hungrier', () => {
    const fleet = withServers(fleetOf(0), { s4: readyState, s5: { lifecycle: 'waking', sinceMs: nowMs } });
    expect(target(fleet, load(50))).toEqual(['s4']);
    expect(target(fleet, load(150))).toEqual(['s4', 's5']);
    const setup = config();
    const thrifty = {
      ...setup.servers.s6,
      energy: { ...energy, busyWatts: 100 },
    } as FleetConfig['servers'][string];
    expect(target(fleetOf(6, { ...setup, servers: { ...setup.servers, s6: thrifty } }), load(50))).toEqual([
      's6',
    ]);
  });

  test('carries its inputs and says why', () => {
    const { inputs, reason, validForMs } = decide(fleetOf(6), load(150));
    expect(inputs).toMatchObject({
      nowRps: 150,
      neededServers: 2,
      capacityRps: 200,
      proxies: 1,
      floor: 1,
    });
    expect(reason).toContain('2 of 6 servers awake');
    expect(validForMs).toBe(30_000);
    expect(decideCapacity(fleetOf(6), 'unknown', load(1), nowMs)).toBeUndefined();
  });
});

describe('fail awake: nothing leaves the target', () => {
  const awake = serverNames(5);

  test('when no proxy reports', () => {
    expect(target(fleetOf(5), demandOf({ rps: 0, proxies: 0 }))).toEqual(awake);
  });

  test('while the load is known for less than the break-even time', () => {
    expect(target(fleetOf(5), load(0, 37))).toEqual(awake);
    expect(target(fleetOf(5), load(0, 38))).toEqual(['s1']);
  });

  test('while the operator has paused the planner; upward it goes on', () => {
    const fleet = fleetOf(5);
    const paused = { ...fleet, pools: { web: { name: 'web', paused: true } } };
    expect(target(paused, load(0))).toEqual(awake);
    expect(target(paused, load(1_000))).toHaveLength(6);
  });

  test('when every ready server looks dead: that may be the prober', () => {
    const sick: Partial<ServerState> = { ...readyState, health: 'unhealthy' };
    const fleet = withServers(fleetOf(0), { s1: sick, s2: sick });
    expect(target(fleet, load(0))).toEqual(['s1', 's2', 's3']);
    expect(decide(fleet, load(0)).reason).toContain('every ready server is unhealthy');
  });

  test('where sleep saves nothing', () => {
    const setup = config({ server: { energy: { ...energy, offWatts: 140 } } });
    expect(target(fleetOf(5, setup), load(0))).toEqual(awake);
  });
});

describe('replacement', () => {
  test.each<[string, Partial<ServerState>]>([
    ['unhealthy', { health: 'unhealthy' }],
    ['cordoned', { cordoned: true }],
    ['quarantined', { lifecycle: 'quarantined', quarantinedUntilMs: nowMs + 1 }],
    ['draining and unhealthy', { lifecycle: 'draining', health: 'unhealthy' }],
    ['switched off in its quarantine', { ...asleepState, quarantinedUntilMs: nowMs + 1 }],
  ])('one that is %s is not counted on', (_what, change) => {
    const fleet = withServers(fleetOf(2), { s1: { ...readyState, ...change } });
    expect(target(fleet, load(150))).toEqual(['s2', 's3']);
  });

  test.each<[string, Partial<ServerState>]>([
    ['overdue', { sinceMs: nowMs - 29_901 }],
    ['stumbling', { sinceMs: nowMs, wake: wake({ attemptFailed: true }) }],
  ])('a wake that is %s gets a substitute and is still wanted', (_what, change) => {
    const fleet = withServers(fleetOf(1), { s2: { lifecycle: 'waking', ...change } });
    expect(target(fleet, load(150))).toEqual(['s1', 's2', 's3']);
  });

  test('a wake in its time needs none', () => {
    const fleet = withServers(fleetOf(1), {
      s2: { lifecycle: 'waking', sinceMs: nowMs - 29_800, wake: wake({}) },
    });
    expect(target(fleet, load(150))).toEqual(['s1', 's2']);
  });

  test('the longest of the measured set-up times is expected', () => {
    const fleet = withServers(fleetOf(1), { s1: { setupTimesMs: [10, 30, 20] } });
    expect(expectedSetupMs(viewOf(fleet, 's1'))).toBe(30);
    expect(expectedSetupMs(viewOf(fleet, 's2'))).toBe(26_000);
  });

  test('those that failed come last, and are not counted', () => {
    const fleet = withServers(fleetOf(1), {
      s2: { ...asleepState, failedWakes: 1 },
      s3: { lifecycle: 'failed' },
    });
    expect(target(fleet, load(150))).toEqual(['s1', 's4']);
    expect(target(fleet, load(1_000))).toEqual(serverNames(6));
    expect(decide(fleet, load(1_000)).inputs.capacityRps).toBe(500);
  });
});

describe('hysteresis', () => {
  test('what was to be reckoned with lately is not put to sleep, but nothing is woken for it', () => {
    const lately = demandOf({ rps: 150, heldRps: 350 });
    expect(target(fleetOf(6), lately)).toHaveLength(4);
    expect(target(fleetOf(1), lately)).toHaveLength(2);
    expect(decide(fleetOf(6), lately).reason).toContain('4 kept for 350 requests/s');
  });

  test('one that sleeps takes the place of one that is awake only when it repays its wake', () => {
    const setup = config();
    const drawing = (busyWatts: number) => {
      const server = {
        ...setup.servers.s2,
        energy: { ...energy, busyWatts },
      } as FleetConfig['servers'][string];
      return fleetOf(1, { ...setup, servers: { ...setup.servers, s2: server } });
    };
    expect(target(drawing(170), load(50))).toEqual(['s1']);
    expect(target(drawing(120), load(50))).toEqual(['s1', 's2']);
  });
});

test('the load is measured against what the servers that take requests can do', () => {
  const learned: unknown[] = [];
  const demand = { ...load(50), advance: (...args: unknown[]) => void learned.push(args[2]) };
  decide(fleetOf(2), demand);
  decide(fleetOf(6), demand);
  expect(learned).toEqual([
    { readyRps: 200, wholePool: false },
    { readyRps: 600, wholePool: true },
  ]);
});

describe('news', () => {
  const fleet = fleetOf(6);
  const decision = decide(fleet, load(150));

  test.each<[string, Fleet, boolean]>([
    ['none yet', fleet, true],
    ['the same, just said', withDecision(fleet, ['s1', 's2'], nowMs - 9_999), false],
    ['the same, a third of the lease ago', withDecision(fleet, ['s1', 's2'], nowMs - 10_000), true],
    ['the same, from the future', withDecision(fleet, ['s1', 's2'], nowMs + 1), true],
    ['another', withDecision(fleet, ['s1'], nowMs), true],
    ['another of the same size', withDecision(fleet, ['s1', 's3'], nowMs), true],
  ])('latest decision: %s', (_what, known, isNews) => {
    expect(decisionIsNews(known, decision, nowMs)).toBe(isNews);
  });
});

describe('properties', () => {
  const lifecycle = fc.constantFrom<Lifecycle>(
    'asleep',
    'waking',
    'ready',
    'draining',
    'stopping',
    'failed',
    'quarantined',
  );
  const state = fc.record({
    lifecycle,
    health: fc.constantFrom('healthy', 'unhealthy', 'unknown') as fc.Arbitrary<ServerState['health']>,
    cordoned: fc.boolean(),
    failedWakes: fc.nat(3),
    sinceMs: fc.integer({ min: startMs, max: nowMs }),
  });
  const scene = fc.record({
    states: fc.array(state, { minLength: 6, maxLength: 6 }),
    minServers: fc.nat(8),
    spareServers: fc.nat(3),
    rps: fc.nat(700),
    seconds: fc.integer({ min: 0, max: 120 }),
  });
  type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;
  const fleetIn = ({ states, minServers, spareServers }: Scene) =>
    withServers(
      scriptedFleet(config({ pool: { minServers, spareServers } })).fleet,
      Object.fromEntries(states.map((one, index) => [`s${index + 1}`, one])),
    );
  const canServe = ({ lifecycle: now, health, cordoned }: Scene['states'][number]) =>
    !cordoned && !((now === 'ready' || now === 'draining') && health !== 'healthy');

  test('never below the floor, never more than the pool, each server once, and the same again', () => {
    fc.assert(
      fc.property(scene, (one) => {
        const fleet = fleetIn(one);
        const demand = load(one.rps, one.seconds);
        const decision = decide(fleet, demand);
        expect(decide(structuredClone(fleet), demand)).toEqual(decision);
        expect(new Set(decision.target).size).toBe(decision.target.length);
        expect(decision.target.length).toBeLessThanOrEqual(6);
        const able = one.states.filter(canServe).length;
        expect(decision.target.length).toBeGreaterThanOrEqual(Math.min(one.minServers, able));
      }),
    );
  });

  test('more demand never takes a server away', () => {
    fc.assert(
      fc.property(scene, fc.nat(300), (one, more) => {
        const fleet = fleetIn(one);
        const less = target(fleet, load(one.rps, one.seconds));
        const greater = target(fleet, load(one.rps + more, one.seconds));
        expect(greater).toEqual(expect.arrayContaining(less));
      }),
    );
  });
});

function wake(change: Partial<NonNullable<ServerState['wake']>>): NonNullable<ServerState['wake']> {
  const begun = { rung: 0, attempt: 1, attemptedAtMs: nowMs, attemptFailed: false };
  return { wakeId: 'w1', requestedAtMs: nowMs, reason: 'test', ...begun, ...change };
}
