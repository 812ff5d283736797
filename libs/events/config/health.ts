import { Type } from '@sinclair/typebox';
import { durationMs, SecretReference, settings, strictObject } from './shared.ts';

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

export const HealthCheckSchema = settings(
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
