import { Type } from '@sinclair/typebox';
import { durationMs, settings } from './shared.ts';

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
    decideIntervalMs: durationMs(2_000, 'Between decisions'),
    leaseMs: durationMs(30_000, 'A decision older than this lets no server sleep'),
    minAwakeMs: durationMs(60_000, 'A server stays awake at least this long after it became ready', 0),
  },
  'The planner of the pool',
);
