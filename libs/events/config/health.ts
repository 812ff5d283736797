import { Type } from '@sinclair/typebox';
import { durationMs, SecretReference, serverTls, settings, strictObject } from './shared.ts';

const HttpProbeSchema = strictObject({
  kind: Type.Literal('http'),
  method: Type.Union([Type.Literal('GET'), Type.Literal('HEAD'), Type.Literal('OPTIONS')], {
    default: 'GET',
    description: 'What is asked with',
  }),
  path: Type.String({ pattern: '^/[!-~]*$', default: '/', description: 'Path and query' }),
  host: Type.Optional(
    Type.String({ minLength: 1, description: 'Host header; default: that of the address' }),
  ),
  headers: Type.Record(
    Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$" }),
    Type.String({ pattern: '^[ -~]{0,1000}$' }),
    {
      default: {},
      maxProperties: 20,
      additionalProperties: false,
      description: 'Sent with each probe; no secrets: they are in the events',
    },
  ),
  expectStatusMin: Type.Integer({
    minimum: 100,
    maximum: 599,
    default: 200,
    description: 'Lowest good status',
  }),
  expectStatusMax: Type.Integer({
    minimum: 100,
    maximum: 599,
    default: 399,
    description: 'Highest good status',
  }),
  expectBody: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Text in the first 64 KiB of the body; * stands for anything in between',
    }),
  ),
  ...serverTls,
});
const GrpcProbeSchema = strictObject(
  {
    kind: Type.Literal('grpc'),
    service: Type.String({ maxLength: 100, default: '', description: 'Empty: the whole server' }),
    ...serverTls,
  },
  { description: 'grpc.health.v1.Health/Check' },
);
const TcpProbeSchema = strictObject({ kind: Type.Literal('tcp') });
const probes = [HttpProbeSchema, TcpProbeSchema, GrpcProbeSchema] as const;

export const HealthCheckSchema = settings(
  {
    // TypeBox lays a default under what is said: more than `kind` would not fit the other branch.
    probe: Type.Union([...probes], {
      default: { kind: 'http' },
      description: 'Readiness: may it get requests?',
    }),
    liveness: Type.Optional(
      Type.Union([...probes], {
        description: 'Asked when the probe fails: is it there at all? Default: a connection',
      }),
    ),
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

export const HeartbeatSchema = settings(
  {
    token: Type.Optional(SecretReference),
    agentCheckPort: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: 'TCP port of an HAProxy agent check that is asked',
      }),
    ),
  },
  'How a server without the agent speaks: by HTTP with a token, or when asked; one with the agent needs nothing here',
);
