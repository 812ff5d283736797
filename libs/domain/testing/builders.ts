import { Value } from '@sinclair/typebox/value';
import {
  type DraftOf,
  type EventData,
  type EventDraft,
  type EventType,
  type FleetConfig,
  FleetConfigSchema,
  type RecordedEvent,
  streamOf,
  subjectOf,
} from '../../events/mod.ts';
import { type Fleet, foldInto, initialFleet, type ServerView, serverViewOf } from '../fleet.ts';
import { healthSeen, type Liveness, nobodySeen, proxySeen } from '../liveness.ts';
import { newServer, type ServerState } from '../server.ts';

/** The moment at which the tests' histories begin, in epoch ms. */
export const startMs = 1_700_000_000_000;
export const minuteMs = 60_000;

type ConfigOverrides = {
  readonly servers?: number;
  readonly pool?: object;
  readonly server?: object;
  readonly bounds?: object;
  /** Rungs of each server's wake ladder. */
  readonly rungs?: number;
  /** Settings of every rung. */
  readonly method?: object;
};

/** The names that a fleet of `count` servers has: s1, s2, … */
export function serverNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `s${index + 1}`);
}

/** A pool `web` with a few servers of 100 requests/s each, filled with the defaults of the schema. */
export function fleetConfig(overrides: ConfigOverrides = {}): FleetConfig {
  const { servers = 3, pool = {}, server = {}, bounds = {}, rungs = 1, method = {} } = overrides;
  const power = Array.from({ length: rungs }, () => ({
    driver: 'redfish',
    url: 'https://bmc.test',
    username: 'nemuri',
    password: 'env:BMC_PASSWORD',
    ...method,
  }));
  const entries = serverNames(servers).map((name) => {
    return [name, { pool: 'web', url: `http://${name}.test:8080`, capacityRps: 100, power, ...server }];
  });
  const minimal = { version: 1, pools: { web: pool }, servers: Object.fromEntries(entries), bounds };
  return Value.Decode(FleetConfigSchema, Value.Default(FleetConfigSchema, structuredClone(minimal)));
}

/** A recorded event with a plausible place in its stream. */
export function recorded(draft: EventDraft, timeMs: number = startMs, sequence = 1): RecordedEvent {
  const place = { stream: streamOf(draft.type), subject: subjectOf(draft), sequence, storedMs: timeMs };
  return {
    ...draft,
    id: `event-${sequence}`,
    source: '/test',
    version: 1,
    timeMs,
    ...place,
  } as RecordedEvent;
}

const about = { server: 's1', pool: 'web' };

/** A valid draft of every type about server s1, wake w1, sleep z1 and proxy p1. */
export const sampleData: { readonly [T in EventType]: EventData<T> } = {
  FleetConfigured: { config: fleetConfig(), origin: 'test' },
  CapacityDecided: {
    pool: 'web',
    target: ['s1'],
    inputs: {
      nowRps: 1,
      levelRps: 1,
      keepRps: 1,
      risk: 0.001,
      horizonMs: 1,
      parked: 0,
      inFlight: 0,
      proxies: 1,
      observedForMs: 1,
      neededServers: 1,
      keptServers: 1,
      capacityRps: 100,
      countedServers: 1,
      floor: 1,
      spareServers: 0,
      headroom: 0.2,
      breakEvenMs: 1,
    },
    forecastRps: 1,
    validForMs: 30_000,
    reason: 'test',
  },
  WakeRequested: { ...about, wakeId: 'w1', reason: 'test' },
  WakeAttempted: { ...about, wakeId: 'w1', rung: 0, attempt: 1, driver: 'redfish' },
  WakeAttemptFailed: { ...about, wakeId: 'w1', rung: 0, attempt: 1, error: 'refused' },
  WakeTimedOut: { ...about, wakeId: 'w1', elapsedMs: 1, reason: 'test' },
  WakeOverdue: { ...about, wakeId: 'w1', milestone: 'on', elapsedMs: 2, expectedMs: 1 },
  ServerQuarantined: { ...about, untilMs: startMs + 10 * minuteMs, reason: 'test' },
  ServerPoweredOn: about,
  SleepRequested: { ...about, sleepId: 'z1', drainTimeoutMs: 30_000, reason: 'test' },
  SleepCancelled: { ...about, sleepId: 'z1', reason: 'test' },
  SleepAttempted: { ...about, sleepId: 'z1', attempt: 1, driver: 'redfish', forced: false },
  SleepAttemptFailed: { ...about, sleepId: 'z1', attempt: 1, error: 'refused' },
  ServerPoweredOff: about,
  PowerDriftDetected: { ...about, expected: 'on', observed: 'off', lifecycle: 'ready' },
  PowerStateLost: { ...about, error: 'unreachable' },
  PowerReadingUnavailable: { ...about, drivers: ['wol', 'ssh'] },
  DrillStarted: { ...about, drillId: 'd1', asleepForMs: minuteMs, reason: 'test' },
  DrillPassed: { ...about, drillId: 'd1', setupMs: 1 },
  DrillFailed: { ...about, drillId: 'd1', reason: 'test' },
  FailAwakeStarted: { pool: 'web', cause: 'planner', lostForMs: 1, reason: 'test' },
  FailAwakeEnded: { pool: 'web', durationMs: 1 },
  ServerBecameHealthy: { ...about, latencyMs: 1, consecutive: 2 },
  ServerBecameUnhealthy: { ...about, reason: 'test', consecutive: 3 },
  ServerCapacityLearned: { ...about, capacityRps: 80, configuredRps: 100, reason: 'test' },
  EjectionConfirmed: { ...about, reason: 'test', consecutive: 3 },
  EjectionLifted: { ...about, consecutive: 2 },
  SleepVerified: { ...about, evidence: 'silent' },
  SleepContradicted: { ...about, evidence: 'answered' },
  HeartbeatStarted: { ...about, bootId: 'b1', wish: 'ready' },
  HeartbeatLost: { ...about, silentMs: 7_001 },
  ServerRebooted: { ...about, previousBootId: 'b1', bootId: 'b2', wish: 'ready' },
  ServerWished: { ...about, wish: 'drain', weightPercent: 50, maxInFlight: 30 },
  ServerShutdownCalledOff: { ...about, reason: 'test' },
  ContradictionDetected: { ...about, contradiction: 'ghost', evidence: 'test', settleByMs: startMs + 30_000 },
  ContradictionSettled: { ...about, contradiction: 'ghost', agreed: true, verdict: 'test' },
  ServerShutdownAnnounced: { ...about, bootId: 'b1', reason: 'test' },
  SleepOrderFailed: { ...about, sleepId: 'z1', error: 'exit code 1' },
  ServerDrainStarted: { ...about, proxy: 'p1', sleepId: 'z1', inFlight: 1 },
  ServerDrained: { ...about, proxy: 'p1', sleepId: 'z1', elapsedMs: 1 },
  DrainTimedOut: { ...about, proxy: 'p1', sleepId: 'z1', inFlight: 1 },
  ServerEjected: { ...about, proxy: 'p1', reason: 'reset', untilMs: startMs + 5_000 },
  ServerCordoned: { server: 's1', reason: 'test', by: 'me' },
  CordonExpired: { ...about, untilMs: startMs + 60 * minuteMs },
  ServerUncordoned: { server: 's1', reason: 'test', by: 'me' },
  WakeOrdered: { server: 's1', untilMs: startMs + 60 * minuteMs, reason: 'test', by: 'me' },
  SleepOrdered: { server: 's1', untilMs: startMs + 60 * minuteMs, reason: 'test', by: 'me' },
  DrillRequested: { server: 's1', untilMs: startMs + 60 * minuteMs, reason: 'test', by: 'me' },
  TargetPinned: { pool: 'web', servers: 2, reason: 'test', by: 'me' },
  TargetUnpinned: { pool: 'web', reason: 'test', by: 'me' },
  PlannerPaused: { pool: 'web', reason: 'test', by: 'me' },
  PlannerResumed: { pool: 'web', reason: 'test', by: 'me' },
  EnergyAccounted: {
    pool: 'web',
    fromMs: startMs - 60 * minuteMs,
    toMs: startMs,
    servers: { s1: { energyWh: 140, modelledWh: 0, gapMs: 0, coveredMs: 60 * minuteMs } },
    requests: 1,
    alwaysOnWh: 420,
  },
  LoadSampled: {
    pool: 'web',
    proxy: 'p1',
    intervalMs: 1_000,
    arrivals: 1,
    completed: 1,
    failed: 0,
    rejected: 0,
    parked: 0,
    newlyParked: 0,
    parkedOldestMs: 0,
    inFlight: 0,
    latencyMs: { p50: 1, p95: 1, p99: 1, max: 1 },
    stopping: false,
    servers: { s1: { inFlight: 0, completed: 1, failed: 0, latencyMs: { p50: 1, p95: 1, p99: 1, max: 1 } } },
  },
  ProbesSampled: {
    prober: 'h1',
    intervalMs: 1_000,
    sent: 1,
    failed: 0,
    latencyMs: { p50: 1, p95: 1, p99: 1, max: 1 },
  },
  HeartbeatSent: {
    ...about,
    via: 'agent',
    bootId: 'b1',
    heartbeat: 1,
    wish: 'ready',
    shuttingDown: false,
    unreachable: [],
  },
  LeaseHeld: {
    service: 'power',
    replica: 'power-1',
    instance: 'i1',
    term: 1,
    leaseMs: 5_000,
    released: false,
  },
  PowerMetered: { ...about, powerWatts: 140, meter: 'measured', meterSource: 'Chassis/1/Power' },
};

/** A draft of one type: the sample's data with some of it changed. */
export function draftOf<T extends EventType>(type: T, data: Partial<EventData<T>> = {}): DraftOf<T> {
  return { type, data: { ...sampleData[type], ...data } } as unknown as DraftOf<T>;
}

/** A recorded event of one type about s1. */
export function eventOf<T extends EventType>(
  type: T,
  data: Partial<EventData<T>> = {},
  timeMs: number = startMs,
): RecordedEvent {
  return recorded(draftOf(type, data), timeMs);
}

export interface Script {
  readonly fleet: Fleet;
  /** Folds a fact in at its time, with the next sequence. */
  fact<T extends EventType>(type: T, data: Partial<EventData<T>>, timeMs?: number): void;
}

/** A fleet that is configured at `startMs` and takes facts one by one. */
export function scriptedFleet(config: FleetConfig = fleetConfig()): Script {
  const fleet = initialFleet();
  const fact: Script['fact'] = (type, data, timeMs = startMs) =>
    foldInto(fleet, recorded(draftOf(type, data), timeMs, fleet.sequence + 1));
  fact('FleetConfigured', { config });
  return { fleet, fact };
}

/** The fleet with the states of some of its servers changed by hand. */
export function withServers(fleet: Fleet, changes: Readonly<Record<string, Partial<ServerState>>>): Fleet {
  const servers = { ...fleet.servers };
  for (const [name, change] of Object.entries(changes)) {
    servers[name] = { ...(servers[name] ?? newServer(name, 'web', startMs)), ...change };
  }
  return { ...fleet, servers };
}

export const readyState: Partial<ServerState> = {
  lifecycle: 'ready',
  powerState: 'on',
  health: 'healthy',
  readyAtMs: startMs,
};
export const asleepState: Partial<ServerState> = {
  lifecycle: 'asleep',
  powerState: 'off',
  health: 'unknown',
};

/** The fleet with the planner's latest word. */
export function withDecision(fleet: Fleet, target: readonly string[], decidedAtMs: number): Fleet {
  const { validForMs, reason } = sampleData.CapacityDecided;
  const pool = fleet.pools.web ?? { name: 'web', paused: false };
  const decision = { sequence: 1, target, decidedAtMs, validForMs, reason };
  return { ...fleet, pools: { ...fleet.pools, web: { ...pool, decision } } };
}

/** One proxy and the health service, both just heard. */
export function witnesses(nowMs: number, ...proxies: string[]): Liveness {
  const names = proxies.length > 0 ? proxies : ['p1'];
  return healthSeen(
    names.reduce((liveness, proxy) => proxySeen(liveness, proxy, nowMs, false), nobodySeen),
    nowMs,
  );
}

/** @throws Error when the fleet has no such server: the test is wrong. */
export function viewOf(fleet: Fleet, name: string): ServerView {
  const view = serverViewOf(fleet, name);
  if (!view) throw new Error(`no server ${name} in this fleet`);
  return view;
}
