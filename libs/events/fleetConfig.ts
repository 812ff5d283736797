import { type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox';

/** An object that refuses keys it does not know: a typing error in a config must not pass as a default. */
function strictObject<P extends TProperties>(
  properties: P,
  options: { description?: string; default?: object } = {},
): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** A section of settings that may be left out whole: each of its keys has a default. */
function settings<P extends TProperties>(properties: P, description: string): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, description, default: {} });
}

function durationMs(defaultMs: number, description: string, minimum = 1) {
  return Type.Integer({ minimum, maximum: 7 * 86_400_000, default: defaultMs, description });
}

/**
 * What is kept by name. Refuses keys that are no names. TypeBox fills the defaults of an entry in only where the
 * entry's schema has a default itself.
 */
function byName<S extends TSchema>(schema: S, minProperties = 0) {
  const name = Type.String({ pattern: NamePattern });
  return Type.Record(name, schema, { minProperties, additionalProperties: false });
}

/** A server's, pool's or proxy's name: one token of a NATS subject and one DNS label. */
export const NamePattern = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
/** Scheme, host and port. No user before an @: a password there would get into the events. */
const UrlPattern = '^https?://[^/?#@\\s]+/?$';
const SecretPattern = '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$';

const SecretReference = Type.String({
  pattern: SecretPattern,
  description: 'Where the secret is, never the secret: env:NAME or file:/path',
});

const TlsSchema = strictObject(
  {
    caFile: Type.Optional(
      Type.String({ minLength: 1, description: 'PEM file of the CA (or the self-signed certificate)' }),
    ),
    fingerprint256: Type.Optional(
      Type.String({
        pattern: '^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$',
        description: 'SHA-256 fingerprint of the certificate, 32 bytes in hex parted by colons',
      }),
    ),
    insecure: Type.Optional(Type.Boolean({ description: 'true accepts any certificate; never a default' })),
  },
  { description: 'How the certificate of a BMC is verified; without it, by the system CAs' },
);

/** How one machine is switched through its BMC by Redfish (DMTF DSP0266). */
export const RedfishMethodSchema = strictObject(
  {
    driver: Type.Literal('redfish'),
    url: Type.String({ pattern: UrlPattern, description: 'The BMC: scheme, host and port' }),
    username: Type.String({ minLength: 1 }),
    password: SecretReference,
    systemId: Type.Optional(
      Type.String({ minLength: 1, description: 'Which system, when the BMC has several' }),
    ),
    tls: Type.Optional(TlsSchema),
    requestTimeoutMs: durationMs(10_000, 'One HTTP exchange with the BMC'),
    taskTimeoutMs: durationMs(120_000, 'A Redfish task that the BMC answered with 202'),
    tries: Type.Integer({
      minimum: 1,
      maximum: 20,
      default: 3,
      description: 'Wakes tried before the ladder is climbed',
    }),
    confirmTimeoutMs: durationMs(
      60_000,
      'From a wake attempt until the hardware must say on; then it is tried again',
    ),
    allowForceOff: Type.Boolean({
      default: false,
      description: 'May cut the power when the graceful way timed out',
    }),
    gracefulOffTimeoutMs: durationMs(180_000, 'Graceful shutdown until it counts as failed, or is forced'),
  },
  { description: 'Redfish over HTTP(S)' },
);

const HttpProbeSchema = strictObject({
  kind: Type.Literal('http'),
  path: Type.String({ pattern: '^/', default: '/' }),
  host: Type.Optional(
    Type.String({ minLength: 1, description: 'Host header; default: that of the address' }),
  ),
  expectStatusMin: Type.Integer({ minimum: 100, maximum: 599, default: 200 }),
  expectStatusMax: Type.Integer({ minimum: 100, maximum: 599, default: 399 }),
});
const TcpProbeSchema = strictObject({ kind: Type.Literal('tcp') });

const HealthCheckSchema = settings(
  {
    // TypeBox lays a default under what is said: more than `kind` would not fit the other branch.
    probe: Type.Union([HttpProbeSchema, TcpProbeSchema], { default: { kind: 'http' } }),
    intervalMs: durationMs(2_000, 'Between probes of a server that serves'),
    fastIntervalMs: durationMs(500, 'Between probes of a server that wakes or returns'),
    timeoutMs: durationMs(2_000, 'One probe'),
    jitter: Type.Number({
      minimum: 0,
      maximum: 0.9,
      default: 0.2,
      description: 'Share of the interval drawn at random',
    }),
    rise: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 2,
      description: 'Good probes in a row until healthy',
    }),
    fall: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 3,
      description: 'Bad probes in a row until unhealthy',
    }),
  },
  'Active probes',
);

const ParkingSchema = settings(
  {
    maxRequests: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 1_000 }),
    maxBytes: Type.Integer({
      minimum: 0,
      default: 64 * 1024 * 1024,
      description: 'Headers and buffered bodies of all parked requests',
    }),
    maxWaitMs: durationMs(300_000, 'After that a parked request is answered 503'),
  },
  'Requests held while no ready server can take them',
);

const PlannerSchema = settings(
  {
    stableWindowMs: durationMs(60_000, 'Window of the level of the demand'),
    burstWindowMs: durationMs(6_000, 'Window of the burst that is followed at once'),
    headroom: Type.Number({
      minimum: 0,
      maximum: 10,
      default: 0.2,
      description: 'Capacity above the demand, as a share',
    }),
    decideIntervalMs: durationMs(2_000, 'Between decisions'),
    leaseMs: durationMs(30_000, 'A decision older than this lets no server sleep'),
    minAwakeMs: durationMs(60_000, 'A server stays awake at least this long after it became ready', 0),
  },
  'The planner of the pool',
);

const ForwardingSchema = settings(
  {
    maxAttempts: Type.Integer({
      minimum: 1,
      maximum: 10,
      default: 3,
      description: 'Servers tried for one request',
    }),
    connectTimeoutMs: durationMs(2_000, 'TCP connect to a server'),
    responseTimeoutMs: durationMs(60_000, 'From the request to the response headers'),
    idleTimeoutMs: durationMs(60_000, 'Silence between two parts of a response body'),
    ejectMs: durationMs(5_000, 'A server that refused or reset a connection gets no new requests this long'),
    retryBufferBytes: Type.Integer({
      minimum: 0,
      default: 65_536,
      description: 'Bodies up to this size can be sent twice',
    }),
    maxBodyBytes: Type.Integer({
      minimum: 0,
      default: 1_073_741_824,
      description: 'Larger request bodies get 413',
    }),
  },
  'How requests are carried to servers',
);

const RouteSchema = strictObject({
  host: Type.Optional(Type.String({ minLength: 1, description: 'Host name without port; left out: any' })),
  pathPrefix: Type.String({ pattern: '^/', default: '/' }),
});

export const PoolConfigSchema = strictObject(
  {
    routes: Type.Array(RouteSchema, { minItems: 1, default: [{ pathPrefix: '/' }] }),
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
    planner: PlannerSchema,
    forwarding: ForwardingSchema,
  },
  { default: {} },
);

export const EnergyModelSchema = settings(
  {
    offWatts: Type.Number({ minimum: 0, default: 10, description: 'Asleep: what the BMC draws' }),
    idleWatts: Type.Number({ minimum: 0, default: 140 }),
    busyWatts: Type.Number({ minimum: 0, default: 200 }),
    setupWatts: Type.Number({ minimum: 0, default: 200, description: 'From the wake to ready' }),
    setupTimeMs: durationMs(260_000, 'From the wake to ready, until it is learned'),
  },
  'Watts of a machine, for break-even time and for what no meter measures',
);

export const ServerConfigSchema = strictObject(
  {
    pool: Type.String({ pattern: NamePattern }),
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
    energy: EnergyModelSchema,
    power: Type.Array(RedfishMethodSchema, {
      default: [],
      maxItems: 8,
      description:
        'The wake ladder: methods in the order they are tried; the first also reads, sleeps and meters',
    }),
    wakeTimeoutMs: durationMs(780_000, 'From the wake to ready; then it climbs the ladder'),
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
    quarantineMs: durationMs(300_000, 'First quarantine of a server whose wake failed; doubles each time'),
    maxQuarantineMs: durationMs(6 * 3_600_000, 'The longest quarantine'),
    sleepProofTimeoutMs: durationMs(
      60_000,
      'From hardware off until something that still answers is a contradiction',
    ),
    busLostMs: durationMs(30_000, 'The bus away for longer: the power service fails awake by itself'),
  },
  'Named bounds; nothing grows or repeats without one',
);

/** The whole configuration: what the YAML file says, and, with every default filled in, what `FleetConfigured` carries. */
export const FleetConfigSchema = strictObject(
  {
    version: Type.Literal(1),
    pools: byName(PoolConfigSchema, 1),
    servers: byName(ServerConfigSchema),
    bounds: BoundsSchema,
  },
  { description: 'Nemuri configuration' },
);

export type FleetConfig = Static<typeof FleetConfigSchema>;
export type PoolConfig = Static<typeof PoolConfigSchema>;
export type ServerConfig = Static<typeof ServerConfigSchema>;
export type RedfishMethod = Static<typeof RedfishMethodSchema>;
export type PowerMethod = RedfishMethod;
export type EnergyModel = Static<typeof EnergyModelSchema>;
export type Bounds = Static<typeof BoundsSchema>;
export type HealthCheckConfig = PoolConfig['healthCheck'];
