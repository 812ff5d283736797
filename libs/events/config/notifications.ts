import { Type } from '@sinclair/typebox';
import { durationMs, SecretReference, settings, strictObject } from './shared.ts';

const WebhookSchema = strictObject({
  url: Type.String({
    pattern: '^(https?://[^@?#\\s]+|env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$',
    description: 'Where it is posted; a URL that is a secret itself is named as env:NAME or file:/path',
  }),
  secret: Type.Optional(SecretReference),
  events: Type.Array(Type.String({ minLength: 1 }), {
    minItems: 1,
    maxItems: 100,
    default: [
      'ServerQuarantined',
      'WakeTimedOut',
      'PowerStateLost',
      'PowerDriftDetected',
      'SleepContradicted',
      'ContradictionDetected',
      'DrillFailed',
      'FailAwakeStarted',
    ],
    description: 'Types of events that are posted',
  }),
});

export const NotificationsSchema = settings(
  {
    webhooks: Type.Array(WebhookSchema, { default: [], maxItems: 16, description: 'Each gets its own copy' }),
    timeoutMs: durationMs(5_000, 'One try'),
    maxTries: Type.Integer({
      minimum: 1,
      maximum: 20,
      default: 6,
      description: 'Of one event at one webhook',
    }),
    firstRetryMs: durationMs(1_000, 'Until the second try; doubles with each'),
    maxQueue: Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 1_000,
      description: 'Events that wait for one webhook; beyond, the oldest is given up',
    }),
  },
  'Who is told of what went wrong',
);
