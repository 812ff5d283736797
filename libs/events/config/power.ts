import { Type } from '@sinclair/typebox';
import { durationMs, SecretReference, settings, strictObject, UrlPattern } from './shared.ts';

/** How machines are switched and what they draw. */

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

/** How one machine is switched off by the agent that runs on it (`nemuri agent`). It can't wake. */
export const AgentMethodSchema = strictObject(
  {
    driver: Type.Literal('agent'),
    how: Type.Union([Type.Literal('suspend'), Type.Literal('hibernate'), Type.Literal('powerOff')], {
      default: 'powerOff',
    }),
    requestTimeoutMs: durationMs(15_000, "From the order to the agent's answer, its last look included"),
    tries: Type.Integer({ minimum: 1, maximum: 20, default: 1, description: 'It wakes nothing: once' }),
    confirmTimeoutMs: durationMs(60_000, 'It wakes nothing'),
    allowForceOff: Type.Literal(false, { default: false, description: 'An agent never forces' }),
    gracefulOffTimeoutMs: durationMs(180_000, 'From the accepted order until it counts as failed'),
  },
  { description: 'The agent on the machine itself' },
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
