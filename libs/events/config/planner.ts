import { Type } from '@sinclair/typebox';
import { durationMs, settings } from './shared.ts';

export const PlannerSchema = settings(
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
