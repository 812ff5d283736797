import { Type } from '@sinclair/typebox';
import { settings } from './shared.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const mebibyte = 1_048_576;

const ageMs = (days: number, leastMs: number, description: string) =>
  Type.Integer({ minimum: leastMs, maximum: 3_650 * dayMs, default: days * dayMs, description });
const bytes = (mebibytes: number, description: string) =>
  Type.Integer({ minimum: mebibyte, maximum: 2 ** 50, default: mebibytes * mebibyte, description });

export const HistorySchema = settings(
  {
    maxAgeMs: ageMs(400, hourMs, 'Events of FLEET that are older go; what they led to stays in checkpoints'),
    maxBytes: bytes(2_048, 'Of FLEET on the disk of each nats-server, reserved; beyond it the oldest go'),
    telemetryMaxAgeMs: ageMs(1, hourMs, 'Load, meters, probes and heartbeats that are older go'),
    telemetryMaxBytes: bytes(512, 'Of TELEMETRY on the disk of each nats-server, reserved'),
    checkpointEvents: Type.Integer({
      minimum: 10,
      maximum: 1_000_000,
      default: 10_000,
      description: 'Events between two states of the fleet kept for looks at the past',
    }),
    maxCheckpoints: Type.Integer({
      minimum: 2,
      maximum: 1_000,
      default: 128,
      description: 'States kept; then every second one goes, spread over all of the past',
    }),
  },
  'How long the past is kept, and how densely it can be entered',
);
