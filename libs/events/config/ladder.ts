import { Type } from '@sinclair/typebox';
import { durationMs } from './shared.ts';

const share = (value: number, description: string) =>
  Type.Number({ minimum: 0.5, maximum: 1, default: value, description });

/** Bounds of wakes and sleeps that each machine's own history fills in; part of `bounds`. */
export const ladderBounds = {
  maxConcurrentWakesPerFeed: Type.Integer({
    minimum: 1,
    default: 4,
    description: 'Inrush: machines that boot at once on one power feed (see feed of a server)',
  }),
  overdueQuantile: share(0.9, 'A wake later than this share of the server’s own past ones gets a substitute'),
  rungTimeoutFactor: Type.Number({
    minimum: 1,
    maximum: 100,
    default: 4,
    description:
      'A rung is given so many learned setup times, at most wakeTimeoutMs; then the ladder is climbed',
  }),
  minRungTimeoutMs: durationMs(10_000, 'A rung is never given less, however fast the server was'),
  minConfirmMs: durationMs(
    5_000,
    'From a wake attempt until it may be repeated, however fast the hardware was',
  ),
  minAsleepMs: durationMs(
    0,
    'A server that fell asleep is not woken by a decision for so long; the floor is',
    0,
  ),
  maxActionsPerMinute: Type.Integer({
    minimum: 1,
    maximum: 60,
    default: 10,
    description: 'Wake and sleep commands to one server in a minute',
  }),
  hungAfterMs: durationMs(300_000, 'On, unhealthy and serving nothing for longer: it is power-cycled'),
  maxMendsPerDay: Type.Integer({
    minimum: 0,
    maximum: 50,
    default: 3,
    description: 'Power cycles of one hung server in 24 h; 0: never',
  }),
  sleepSilenceMs: durationMs(
    60_000,
    'Where no power can be read: silence to probes for so long proves a sleep',
  ),
  flapWindowMs: durationMs(600_000, 'Window in which changes of a power reading are counted'),
  maxFlaps: Type.Integer({
    minimum: 2,
    maximum: 100,
    default: 6,
    description: 'Changes in flapWindowMs; with more, a reading is believed only after many equal ones',
  }),
};
