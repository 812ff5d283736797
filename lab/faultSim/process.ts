import type { Chance, Clock } from '../../libs/runtime/clock.ts';
import { createLogger } from '../../libs/runtime/log.ts';
import type { Scheduler } from './scheduler.ts';

/** Nobody reads the logs of thousands of runs. */
export const silence = createLogger('sim', 'sim', 'silent');

/**
 * A process of the simulated world: what it waits for reaches it only while it lives, and not before it goes on when
 * it is stopped (SIGSTOP). Its clock may be wrong.
 */
export interface SimProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly alive: boolean;
  /** Calls now, when it goes on, or never. */
  deliver(callback: () => void): void;
  /** It is gone in the middle of whatever it was doing. */
  kill(): void;
  stop(): void;
  goOn(): void;
  /** Ms by which its clock is ahead from now on. */
  skew(skewMs: number): void;
}

export interface ProcessOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly random: () => number;
  readonly skewMs: number;
}

export function startProcess({ name, scheduler, random, skewMs: firstSkewMs }: ProcessOptions): SimProcess {
  let skewMs = firstSkewMs;
  let alive = true;
  let stopped = false;
  let waiting: (() => void)[] = [];

  const deliver = (callback: () => void) => {
    if (!alive) return;
    if (stopped) waiting.push(callback);
    else callback();
  };
  return {
    name,
    clock: {
      nowMs: () => scheduler.nowMs() + skewMs,
      monotonicMs: scheduler.nowMs,
      after(delayMs, callback) {
        let cancelled = false;
        const cancel = scheduler.after(delayMs, () =>
          deliver(() => {
            if (!cancelled) callback();
          }),
        );
        return () => {
          cancelled = true;
          cancel();
        };
      },
    },
    chance: { random, newId: () => idOf(random) },
    get alive() {
      return alive;
    },
    deliver,
    kill() {
      alive = false;
      waiting = [];
    },
    stop() {
      stopped = true;
    },
    goOn() {
      stopped = false;
      const due = waiting;
      waiting = [];
      // One at a time, as an event loop would.
      for (const callback of due) scheduler.after(0, () => deliver(callback));
    },
    skew(nextMs) {
      skewMs = nextMs;
    },
  };
}

function idOf(random: () => number): string {
  const part = () => Math.floor(random() * 2 ** 32).toString(36);
  return `${part()}${part()}${part()}`;
}
