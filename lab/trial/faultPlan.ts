import type { ServiceName } from '../../libs/runtime/stack.ts';

/** An accident at a second of the series. */
export type PlannedFault =
  | { readonly second: number; readonly kind: 'service'; readonly service: ServiceName }
  | { readonly second: number; readonly kind: 'crash' | 'powerCut'; readonly draw: number }
  | { readonly second: number; readonly kind: 'bus' };

/** One wake in so many comes to nothing. */
export const wakeFailureShare = 0.05;

const daySeconds = 86_400;
const hourSeconds = 3_600;
/** A service needs seconds of the clock to be back, however fast the series goes. */
const leastServiceClockSeconds = 30;
const restarted: readonly ServiceName[] = ['health', 'power', 'planner', 'proxy'];

/** Seconds of the series between two restarts of a service: an hour, or 30 s of the clock if that is longer. */
export function serviceIntervalSeconds(speed: number): number {
  return Math.max(hourSeconds, leastServiceClockSeconds * speed);
}

/**
 * When what happens: each hour (or 30 s of the clock) a service in turn, each day a crash or, in turn, a power cut of
 * a serving machine, once, in the middle, the bus. Pure; the same draws give the same plan.
 */
export function planFaults(seconds: number, speed: number, random: () => number): readonly PlannedFault[] {
  const plan: PlannedFault[] = [{ second: seconds * 0.53, kind: 'bus' }];
  const interval = serviceIntervalSeconds(speed);
  for (let turn = 0; (turn + 1) * interval < seconds; turn += 1) {
    const service = restarted[turn % restarted.length] ?? 'health';
    plan.push({ second: (turn + 1) * interval, kind: 'service', service });
  }
  for (let day = 0; day * daySeconds < seconds; day += 1) {
    const length = Math.min(daySeconds, seconds - day * daySeconds);
    const second = day * daySeconds + length * (0.1 + 0.8 * random());
    plan.push({ second, kind: day % 2 === 0 ? 'crash' : 'powerCut', draw: random() });
  }
  return plan.sort((a, b) => a.second - b.second);
}
