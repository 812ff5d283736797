import { Type } from '@sinclair/typebox';
import { durationMs, settings, strictObject } from './shared.ts';

const ClockPattern = '^([01][0-9]|2[0-3]):[0-5][0-9]$';

const ScheduleSchema = strictObject(
  {
    days: Type.Array(
      Type.Union([
        Type.Literal('mon'),
        Type.Literal('tue'),
        Type.Literal('wed'),
        Type.Literal('thu'),
        Type.Literal('fri'),
        Type.Literal('sat'),
        Type.Literal('sun'),
      ]),
      { minItems: 1, description: 'On which the time begins' },
    ),
    from: Type.String({ pattern: ClockPattern, description: 'Such as 08:00: by then they are ready' }),
    to: Type.String({
      pattern: ClockPattern,
      description: 'Such as 18:30; before `from` it is the next day',
    }),
    timeZone: Type.String({ minLength: 1, default: 'UTC', description: 'Such as Europe/Berlin' }),
    minServers: Type.Integer({ minimum: 1, description: 'At least so many awake in that time' }),
  },
  { description: 'Servers that are awake by the clock' },
);

export const PlannerSchema = settings(
  {
    risk: Type.Number({
      minimum: 0.000_001,
      maximum: 0.1,
      default: 0.001,
      description:
        'Share of requests that may be late for want of capacity; the planner keeps at or below it',
    }),
    burstWindowMs: durationMs(6_000, 'Window of the rate of now, for what the forecast did not see coming'),
    headroom: Type.Number({
      minimum: 0,
      maximum: 10,
      default: 0,
      description: 'Capacity above what the risk asks for, as a share',
    }),
    schedules: Type.Array(ScheduleSchema, {
      default: [],
      maxItems: 50,
      description: 'Awake by the clock, whatever the load',
    }),
    dayMs: durationMs(
      86_400_000,
      'How long a day of the load lasts; shorter only where a load series is replayed faster than it was',
      60_000,
    ),
    learnCapacity: Type.Boolean({
      default: false,
      description:
        'Learn what each server sustains within the latency objective, beginning with its capacityRps',
    }),
    decideIntervalMs: durationMs(2_000, 'Between decisions'),
    leaseMs: durationMs(30_000, 'A decision older than this lets no server sleep'),
    minAwakeMs: durationMs(60_000, 'A server stays awake at least this long after it became ready', 0),
  },
  'The planner of the pool',
);
