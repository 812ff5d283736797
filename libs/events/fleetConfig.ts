import { type Static, Type } from '@sinclair/typebox';
import { CostsSchema, DrillSchema } from './config/costs.ts';
import { HealthCheckSchema, HeartbeatSchema } from './config/health.ts';
import { HistorySchema } from './config/history.ts';
import { ladderBounds } from './config/ladder.ts';
import { NotificationsSchema } from './config/notifications.ts';
import { PlannerSchema } from './config/planner.ts';
import {
  type AgentMethodSchema,
  EnergyModelSchema,
  type ExecMethodSchema,
  type HttpMethodSchema,
  type IpmiMethodSchema,
  type PduMethodSchema,
  PowerMethodSchema,
  type RedfishMethodSchema,
  type SshMethodSchema,
  type WolMethodSchema,
} from './config/power.ts';
import {
  BalancingSchema,
  CircuitSchema,
  ForwardingSchema,
  ParkingSchema,
  ProxySchema,
  RouteSchema,
} from './config/proxy.ts';
import { byName, durationMs, NamePattern, settings, strictObject, UrlPattern } from './config/shared.ts';

export { PowerMethodSchema } from './config/power.ts';
export { NamePattern } from './config/shared.ts';

export const PoolConfigSchema = strictObject(
  {
    routes: Type.Array(RouteSchema, {
      minItems: 1,
      default: [{ pathPrefix: '/' }],
      description: 'Which requests are its own; of several pools the longest match wins',
    }),
    minServers: Type.Integer({ minimum: 0, default: 1, description: 'The floor: never fewer awake' }),
    spareServers: Type.Integer({
      minimum: 0,
      default: 0,
      description: 'Kept awake for a failure, above the need',
    }),
    latencyObjectiveMs: durationMs(500, 'What a request may take; capacity is sustained within it'),
    drainTimeoutMs: durationMs(30_000, 'In-flight requests get this long before a sleep'),
    failAwake: Type.Union([Type.Literal('floor'), Type.Literal('pool')], {
      default: 'pool',
      description: 'What is woken when the planner or the bus stays lost',
    }),
    failAwakeAfterMs: durationMs(60_000, 'From the floor to the whole pool, when failAwake is "pool"'),
    healthCheck: HealthCheckSchema,
    parking: ParkingSchema,
    balancing: BalancingSchema,
    circuit: CircuitSchema,
    planner: PlannerSchema,
    forwarding: ForwardingSchema,
    drill: DrillSchema,
  },
  { default: {} },
);

export const ServerConfigSchema = strictObject(
  {
    pool: Type.String({ pattern: NamePattern, description: 'The pool it serves in' }),
    url: Type.String({
      pattern: UrlPattern,
      description: 'Where it serves: scheme, host and port',
    }),
    capacityRps: Type.Number({
      exclusiveMinimum: 0,
      description: 'Requests/s it sustains within the latency objective',
    }),
    maxInFlight: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Requests at once; more are parked' }),
    ),
    heartbeat: HeartbeatSchema,
    energy: EnergyModelSchema,
    power: Type.Array(PowerMethodSchema, {
      default: [],
      maxItems: 8,
      description:
        'The wake ladder: methods in the order they are tried; the first that can also sleeps, reads and meters',
    }),
    wakeTimeoutMs: durationMs(780_000, 'From a rung’s wake to ready, at most; then it climbs the ladder'),
    feed: Type.Optional(
      Type.String({ pattern: NamePattern, description: 'The power feed or circuit it hangs on' }),
    ),
  },
  { default: {} },
);

export const BoundsSchema = settings(
  {
    maxConcurrentWakes: Type.Integer({
      minimum: 1,
      default: 4,
      description: 'Inrush: machines that boot at once, per pool',
    }),
    maxCyclesPerDay: Type.Integer({
      minimum: 1,
      maximum: 200,
      default: 48,
      description: 'Wear: sleeps of one server in 24 h',
    }),
    reconcileIntervalMs: durationMs(2_000, 'Between two looks of the power service at each server'),
    meterIntervalMs: durationMs(5_000, 'Between two readings of a meter'),
    sampleIntervalMs: durationMs(1_000, 'Between two LoadSampled of a proxy'),
    proxyLeaseMs: durationMs(10_000, 'A proxy silent for longer blocks every sleep'),
    proxyGoneMs: durationMs(120_000, 'A proxy silent for longer is taken for gone'),
    healthLeaseMs: durationMs(10_000, 'Health silent for longer blocks every sleep'),
    heartbeatIntervalMs: durationMs(2_000, 'Between two heartbeats of a server'),
    heartbeatLeaseMs: durationMs(
      7_000,
      'A server that spoke and is silent for longer has lost its heartbeat',
    ),
    maxHeartbeatsPerMinute: Type.Integer({
      minimum: 1,
      maximum: 60_000,
      default: 120,
      description: 'Of one server over HTTP; more get 429',
    }),
    quarantineMs: durationMs(300_000, 'First quarantine of a server whose wake failed; doubles each time'),
    maxQuarantineMs: durationMs(6 * 3_600_000, 'The longest quarantine'),
    sleepProofTimeoutMs: durationMs(
      60_000,
      'From hardware off until something that still answers is a contradiction',
    ),
    maxConcurrentProbes: Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 4_096,
      description:
        'Probes at once; more wait their turn. Fewer than servers: probes are late when many are silent',
    }),
    contradictionConfirmMs: durationMs(1_500, 'Witnesses that disagree for shorter are only late'),
    contradictionSettleMs: durationMs(30_000, 'From a contradiction until a verdict falls'),
    restartStormBoots: Type.Integer({
      minimum: 2,
      maximum: 60,
      default: 3,
      description:
        'Boots nobody asked for within restartStormWindowMs: a storm, and no requests until it stands',
    }),
    restartStormWindowMs: durationMs(600_000, 'See restartStormBoots'),
    clockJumpMs: durationMs(5_000, "A server's clock that moved by more between two heartbeats has jumped"),
    leaderLeaseMs: durationMs(
      5_000,
      'A leading replica of planner, power or health that is silent for longer is replaced',
      500,
    ),
    busLostMs: durationMs(30_000, 'The bus away for longer: the power service fails awake by itself'),
    ...ladderBounds,
  },
  'Named bounds; nothing grows or repeats without one',
);

/** The whole configuration: what the YAML file says, and, with every default filled in, what `FleetConfigured` carries. */
export const FleetConfigSchema = strictObject(
  {
    version: Type.Literal(1),
    pools: byName(PoolConfigSchema, 'By name: the servers of one site', 1),
    servers: byName(ServerConfigSchema, 'By name: one machine each'),
    notifications: NotificationsSchema,
    bounds: BoundsSchema,
    costs: CostsSchema,
    history: HistorySchema,
    proxy: ProxySchema,
  },
  { description: 'Nemuri configuration' },
);

export type FleetConfig = Static<typeof FleetConfigSchema>;
export type PoolConfig = Static<typeof PoolConfigSchema>;
export type ServerConfig = Static<typeof ServerConfigSchema>;
export type RedfishMethod = Static<typeof RedfishMethodSchema>;
export type IpmiMethod = Static<typeof IpmiMethodSchema>;
export type WolMethod = Static<typeof WolMethodSchema>;
export type SshMethod = Static<typeof SshMethodSchema>;
export type ExecMethod = Static<typeof ExecMethodSchema>;
export type HttpMethod = Static<typeof HttpMethodSchema>;
export type PduMethod = Static<typeof PduMethodSchema>;
export type AgentMethod = Static<typeof AgentMethodSchema>;
export type PowerMethod = Static<typeof PowerMethodSchema>;
export type EnergyModel = Static<typeof EnergyModelSchema>;
export type Bounds = Static<typeof BoundsSchema>;
export type Costs = Static<typeof CostsSchema>;
export type HistoryConfig = Static<typeof HistorySchema>;
export type HealthCheckConfig = PoolConfig['healthCheck'];
export type PlannerSchedule = PoolConfig['planner']['schedules'][number];
