import { Type } from '@sinclair/typebox';
import { durationMs, settings } from './shared.ts';

const percent = (value: number, description: string) =>
  Type.Number({ minimum: 0, maximum: 100, default: value, description });

export const CostsSchema = settings(
  {
    currency: Type.String({ pattern: '^[A-Z]{3}$', default: 'EUR', description: 'ISO 4217 code' }),
    pricePerKwh: Type.Optional(Type.Number({ minimum: 0, description: 'Left out: no cost is reported' })),
    co2GramsPerKwh: Type.Optional(Type.Number({ minimum: 0, description: 'Left out: no CO2 is reported' })),
    meterErrorPercent: percent(2, 'How far a measured reading may be off'),
    modelErrorPercent: percent(15, 'How far the energy model may be off'),
    maxMeterGapMs: durationMs(
      60_000,
      'Readings further apart leave a gap: the higher of the two is taken, and counts as modelled',
    ),
  },
  'What a kWh costs and how well it is known, for nemuri report',
);

export const DrillSchema = settings(
  {
    afterAsleepMs: Type.Integer({
      minimum: 0,
      maximum: 90 * 86_400_000,
      default: 0,
      description:
        'A server asleep for longer is woken to see that it can be, and put back; 0: never by itself',
    }),
  },
  'Fire drills of sleeping servers',
);
