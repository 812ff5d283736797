import { type Static, type TProperties, type TSchema, Type } from '@sinclair/typebox';
import { FleetConfigSchema, NamePattern } from './fleetConfig.ts';

/**
 * Every event Nemuri publishes: its schema, current version, stream and the kind of subject it goes to.
 * Events are past-tense facts. Unknown extra properties are let through, so that a newer writer does not
 * break an older reader.
 */

const Name = Type.String({ pattern: NamePattern });
const EpochMs = Type.Number({ minimum: 0 });
const DurationMs = Type.Number({ minimum: 0 });
const Count = Type.Integer({ minimum: 0 });
const Rate = Type.Number({ minimum: 0 });
const Reason = Type.String({ minLength: 1, maxLength: 2_000 });
const Id = Type.String({ minLength: 1, maxLength: 128 });

const server = { server: Name, pool: Name };
const traffic = { ...server, proxy: Name };

const Wish = Type.Union([Type.Literal('ready'), Type.Literal('drain'), Type.Literal('maint')]);
/** What a server wants of us: to serve (with a share of its weight, and a bound), or to be left alone. */
const saying = {
  wish: Wish,
  weightPercent: Type.Optional(Type.Number({ minimum: 0, maximum: 1_000 })),
  maxInFlight: Type.Optional(Count),
};
const ContradictionName = Type.Union([
  Type.Literal('zombie'),
  Type.Literal('ghost'),
  Type.Literal('halfDead'),
  Type.Literal('lyingBmc'),
  Type.Literal('splitView'),
  Type.Literal('clockJump'),
  Type.Literal('restartStorm'),
]);
const BootId = Type.Optional(Id);

const LatencySchema = Type.Object({ p50: DurationMs, p95: DurationMs, p99: DurationMs, max: DurationMs });

const ServerLoadSchema = Type.Object({
  inFlight: Count,
  completed: Count,
  failed: Count,
  latencyMs: LatencySchema,
});

const DecisionInputsSchema = Type.Object({
  /** The rate of now, the level the forecast sees, and the rate that servers are kept for. */
  nowRps: Rate,
  levelRps: Rate,
  keepRps: Rate,
  risk: Type.Number({ minimum: 0, maximum: 1 }),
  horizonMs: DurationMs,
  parked: Count,
  inFlight: Count,
  proxies: Count,
  observedForMs: DurationMs,
  neededServers: Count,
  keptServers: Count,
  capacityRps: Rate,
  countedServers: Count,
  floor: Count,
  spareServers: Count,
  headroom: Type.Number({ minimum: 0 }),
  breakEvenMs: DurationMs,
});

/** Energy of one server within one hour. `modelledWh` is the part that rests on a model or bridges a gap. */
const ServerEnergySchema = Type.Object({
  energyWh: Rate,
  modelledWh: Rate,
  gapMs: DurationMs,
  /** Time that readings, or the bridge over a gap between them, cover. */
  coveredMs: DurationMs,
});

export type StreamName = 'FLEET' | 'TELEMETRY';
export type SubjectKind =
  | 'config'
  | 'decision'
  | 'power'
  | 'health'
  | 'traffic'
  | 'agent'
  | 'operator'
  | 'load'
  | 'probe'
  | 'meter'
  | 'capacity'
  | 'energy'
  | 'pool'
  | 'heartbeat'
  | 'lease';

interface Definition<S extends TSchema> {
  readonly version: number;
  readonly kind: SubjectKind;
  readonly schema: S;
}

function define<P extends TProperties>(kind: SubjectKind, properties: P, version = 1) {
  return { version, kind, schema: Type.Object(properties) } satisfies Definition<TSchema>;
}

export const catalog = {
  /** A valid configuration was taken into the history; every service works from the latest one. */
  FleetConfigured: define('config', { config: FleetConfigSchema, origin: Type.String() }),

  /** The planner decided which servers of a pool shall be awake. Valid until `validForMs` after its time. */
  CapacityDecided: define('decision', {
    pool: Name,
    target: Type.Array(Name),
    inputs: DecisionInputsSchema,
    forecastRps: Rate,
    validForMs: DurationMs,
    reason: Reason,
  }),

  /** What a server sustains within the latency objective, learned from what it served; in the place of `configuredRps`. */
  ServerCapacityLearned: define('capacity', {
    ...server,
    capacityRps: Rate,
    configuredRps: Rate,
    reason: Reason,
  }),

  /** A server is to be brought to ready. The facts of one wake share its `wakeId`. */
  WakeRequested: define('power', { ...server, wakeId: Id, reason: Reason }),
  /** One wake method is about to be used. `rung` counts the ladder from 0, `attempt` the tries on it from 1. */
  WakeAttempted: define('power', {
    ...server,
    wakeId: Id,
    rung: Count,
    attempt: Count,
    driver: Type.String(),
  }),
  WakeAttemptFailed: define('power', { ...server, wakeId: Id, rung: Count, attempt: Count, error: Reason }),
  /** The whole ladder was climbed and the server does not serve. */
  WakeTimedOut: define('power', { ...server, wakeId: Id, elapsedMs: DurationMs, reason: Reason }),
  /**
   * The wake missed what the server's own past wakes promised, at the milestone named: its command was refused
   * (`taken`), its hardware is still off (`on`), or it does not serve (`ready`). It goes on; a substitute is wanted.
   */
  WakeOverdue: define('power', {
    ...server,
    wakeId: Id,
    milestone: Type.Union([Type.Literal('taken'), Type.Literal('on'), Type.Literal('ready')]),
    elapsedMs: DurationMs,
    expectedMs: DurationMs,
  }),
  ServerQuarantined: define('power', { ...server, untilMs: EpochMs, reason: Reason }),
  /** The hardware says on. */
  ServerPoweredOn: define('power', { ...server, wakeId: Type.Optional(Id) }),
  /** A server is to be brought to asleep: proxies drain it first. The facts of one sleep share its `sleepId`. */
  SleepRequested: define('power', {
    ...server,
    sleepId: Id,
    drainTimeoutMs: DurationMs,
    /** The first half of a power cycle that shall mend a hung server. */
    mend: Type.Optional(Type.Boolean()),
    reason: Reason,
  }),
  SleepCancelled: define('power', { ...server, sleepId: Id, reason: Reason }),
  /** The power-off is about to be sent; from here on the server can't be called back until it is off. */
  SleepAttempted: define('power', {
    ...server,
    sleepId: Id,
    attempt: Count,
    driver: Type.String(),
    forced: Type.Boolean(),
  }),
  SleepAttemptFailed: define('power', { ...server, sleepId: Id, attempt: Count, error: Reason }),
  /** The hardware says off. */
  ServerPoweredOff: define('power', { ...server, sleepId: Type.Optional(Id) }),
  /** The power state contradicts the lifecycle. The belief follows the hardware. */
  PowerDriftDetected: define('power', {
    ...server,
    expected: Type.Union([Type.Literal('on'), Type.Literal('off')]),
    observed: Type.Union([Type.Literal('on'), Type.Literal('off')]),
    lifecycle: Type.String(),
  }),
  /** The hardware can't be read: its power state is unknown until it can. */
  PowerStateLost: define('power', { ...server, error: Reason }),
  /** No method of the server can read its power: from here on it is inferred from probes, until it is read again. */
  PowerReadingUnavailable: define('power', { ...server, drivers: Type.Array(Type.String()) }),
  /** A sleeping server is woken only to see that it can be. The facts of one drill share its `drillId`. */
  DrillStarted: define('power', { ...server, drillId: Id, asleepForMs: DurationMs, reason: Reason }),
  DrillPassed: define('power', { ...server, drillId: Id, setupMs: DurationMs }),
  /** It is not counted as capacity until it has served again. */
  DrillFailed: define('power', { ...server, drillId: Id, reason: Reason }),

  /** The time of the operator's cordon is over: the server takes requests, and its power is planned, again. */
  CordonExpired: define('power', { ...server, untilMs: EpochMs }),

  /**
   * No decision within its lease, or no bus to hear it by: the power service wakes by itself. `reason` says what.
   */
  FailAwakeStarted: define('pool', {
    pool: Name,
    cause: Type.Union([Type.Literal('planner'), Type.Literal('bus')]),
    lostForMs: DurationMs,
    reason: Reason,
  }),
  /** The planner decides again. */
  FailAwakeEnded: define('pool', { pool: Name, durationMs: DurationMs }),

  ServerBecameHealthy: define('health', { ...server, latencyMs: DurationMs, consecutive: Count }),
  ServerBecameUnhealthy: define('health', { ...server, reason: Reason, consecutive: Count }),
  /** A proxy ejected it, and the probes say so too. */
  EjectionConfirmed: define('health', { ...server, reason: Reason, consecutive: Count }),
  /** A proxy ejected it, and it answers the probes well: whoever ejected it may send to it again. */
  EjectionLifted: define('health', { ...server, consecutive: Count }),
  /** Off by its hardware and silent to a probe: the sleep is proven. */
  SleepVerified: define('health', { ...server, evidence: Reason }),
  /** It answers while its hardware says off. */
  SleepContradicted: define('health', { ...server, evidence: Reason }),

  /** The server speaks, for the first time or again after a silence or a boot. */
  HeartbeatStarted: define('health', { ...server, bootId: BootId, ...saying }),
  /** It spoke, and has been silent for longer than `heartbeatLeaseMs`. */
  HeartbeatLost: define('health', { ...server, silentMs: DurationMs }),
  /** It speaks from another boot although it should have served all through: it is warmed up anew. */
  ServerRebooted: define('health', { ...server, previousBootId: Id, bootId: Id, ...saying }),
  /** It wants something else than before. */
  ServerWished: define('health', { ...server, ...saying }),
  /** It had announced its shutdown, and speaks on from the same boot without one. */
  ServerShutdownCalledOff: define('health', { ...server, reason: Reason }),

  /** The witnesses of a server can't all be right; until `settleByMs` a verdict falls. */
  ContradictionDetected: define('health', {
    ...server,
    contradiction: ContradictionName,
    evidence: Reason,
    settleByMs: EpochMs,
  }),
  /** They agree again, or their time was over and the verdict holds until they do. */
  ContradictionSettled: define('health', {
    ...server,
    contradiction: ContradictionName,
    agreed: Type.Boolean(),
    verdict: Reason,
  }),

  /** The machine is about to go down: it gets nothing new from now on, before its sockets close. */
  ServerShutdownAnnounced: define('agent', { ...server, bootId: BootId, reason: Reason }),
  /** Its agent took the order to put it to sleep and could not carry it out. */
  SleepOrderFailed: define('agent', { ...server, sleepId: Id, error: Reason }),

  ServerDrainStarted: define('traffic', { ...traffic, sleepId: Id, inFlight: Count }),
  /** This proxy has nothing in flight on the server and sends nothing new. */
  ServerDrained: define('traffic', { ...traffic, sleepId: Id, elapsedMs: DurationMs }),
  DrainTimedOut: define('traffic', { ...traffic, sleepId: Id, inFlight: Count }),
  /** This proxy met a dead connection and sends the server nothing new until `untilMs`. */
  ServerEjected: define('traffic', { ...traffic, reason: Reason, untilMs: EpochMs }),

  /** With `untilMs` it ends by itself (`CordonExpired`). A later cordon replaces an earlier one. */
  ServerCordoned: define('operator', {
    server: Name,
    untilMs: Type.Optional(EpochMs),
    reason: Reason,
    by: Id,
  }),
  /** The operator wants the server awake, or asleep, until `untilMs`. A later order replaces an earlier one. */
  WakeOrdered: define('operator', { server: Name, untilMs: EpochMs, reason: Reason, by: Id }),
  SleepOrdered: define('operator', { server: Name, untilMs: EpochMs, reason: Reason, by: Id }),
  /** A fire drill of a sleeping server, if it is asleep before `untilMs`. */
  DrillRequested: define('operator', { server: Name, untilMs: EpochMs, reason: Reason, by: Id }),
  ServerUncordoned: define('operator', { server: Name, reason: Reason, by: Id }),
  /** The planner keeps at least `servers` servers of the pool awake until it is unpinned. */
  TargetPinned: define('operator', { pool: Name, servers: Count, reason: Reason, by: Id }),
  TargetUnpinned: define('operator', { pool: Name, reason: Reason, by: Id }),
  /** The planner puts no server of the pool to sleep until it is resumed. */
  PlannerPaused: define('operator', { pool: Name, reason: Reason, by: Id }),
  PlannerResumed: define('operator', { pool: Name, reason: Reason, by: Id }),

  /** The energy account of a pool for one hour (UTC), made from meters and load before these are forgotten. */
  EnergyAccounted: define('energy', {
    pool: Name,
    fromMs: EpochMs,
    toMs: EpochMs,
    servers: Type.Record(Name, ServerEnergySchema),
    requests: Count,
    /** What the same load had drawn with every server on, by the energy model. */
    alwaysOnWh: Rate,
  }),

  /** What one proxy saw of one pool in the `intervalMs` up to the event's time; also its sign of life. */
  LoadSampled: define('load', {
    pool: Name,
    proxy: Name,
    intervalMs: DurationMs,
    arrivals: Count,
    completed: Count,
    failed: Count,
    rejected: Count,
    /** Waiting now, and how many began to wait in the interval. */
    parked: Count,
    newlyParked: Count,
    parkedOldestMs: DurationMs,
    inFlight: Count,
    latencyMs: LatencySchema,
    stopping: Type.Boolean(),
    servers: Type.Record(Name, ServerLoadSchema),
  }),
  /** What the health service probed in the `intervalMs` up to the event's time; also its sign of life. */
  ProbesSampled: define('probe', {
    prober: Name,
    intervalMs: DurationMs,
    sent: Count,
    failed: Count,
    latencyMs: LatencySchema,
    /** How much later than due the probes were sent. */
    lateMs: Type.Optional(LatencySchema),
  }),
  /**
   * What a server says of itself: `heartbeat` counts from 1 since the speaker started, `bootId` is the kernel's.
   * `powerWatts` is what its CPU packages and memory draw (RAPL), not the whole machine.
   */
  HeartbeatSent: define('heartbeat', {
    ...server,
    via: Type.Union([Type.Literal('agent'), Type.Literal('http'), Type.Literal('agentCheck')]),
    bootId: BootId,
    heartbeat: Type.Optional(Count),
    ...saying,
    shuttingDown: Type.Boolean(),
    uptimeMs: Type.Optional(DurationMs),
    load1: Type.Optional(Type.Number({ minimum: 0 })),
    memoryTotalBytes: Type.Optional(Count),
    memoryAvailableBytes: Type.Optional(Count),
    powerWatts: Type.Optional(Type.Number({ minimum: 0 })),
    /** Parts of the control plane that can't be reached from this server, in words. */
    unreachable: Type.Array(Type.String({ maxLength: 200 }), { maxItems: 64 }),
  }),
  /**
   * This replica of a service leads until `leaseMs` after it said so, unless it says so again; `term` counts the
   * changes of leader. `released`: it leads no more.
   */
  LeaseHeld: define('lease', {
    service: Name,
    replica: Name,
    instance: Id,
    term: Count,
    leaseMs: DurationMs,
    released: Type.Boolean(),
  }),
  /** One reading of a server's watts. A modelled one says so. */
  PowerMetered: define('meter', {
    ...server,
    powerWatts: Type.Number({ minimum: 0 }),
    meter: Type.Union([Type.Literal('measured'), Type.Literal('modelled')]),
    meterSource: Type.String(),
  }),
} as const;

export type Catalog = typeof catalog;
export type EventType = keyof Catalog;
export type EventData<T extends EventType> = Static<Catalog[T]['schema']>;
export const eventTypes = Object.keys(catalog) as EventType[];

/** A fact about to be published: its envelope is filled in by the codec. */
export type EventDraft = {
  [T in EventType]: { readonly type: T; readonly data: EventData<T>; readonly traceparent?: string };
}[EventType];

/** CloudEvents 1.0 context attributes of an event (`timeMs`: epoch milliseconds of `ce-time`). */
export interface EventContext {
  readonly id: string;
  readonly source: string;
  readonly timeMs: number;
  readonly version: number;
}

/**
 * A fact as read back: with its place in the stream. Sequences count from 1 in each stream. `storedMs` is when the
 * stream stored it, by the stream's own clock: the one time that all events share, whoever wrote them.
 */
export type RecordedEvent = EventDraft &
  EventContext & {
    readonly stream: StreamName;
    readonly subject: string;
    readonly sequence: number;
    readonly storedMs: number;
  };

export type EventOf<T extends EventType> = Extract<RecordedEvent, { readonly type: T }>;
export type DraftOf<T extends EventType> = Extract<EventDraft, { readonly type: T }>;

export function isEventType(name: string): name is EventType {
  return Object.hasOwn(catalog, name);
}
