import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { type Clock, systemClock } from './clock.ts';

export interface Loop {
  /** Runs the work now; when it is running, once more right after. */
  wakeUp(): void;
  /** No more rounds; resolves when the one under way has ended. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  readonly work: () => Promise<void>;
  /** Asked after each round: ms until the next one. */
  readonly delayMs: () => number;
  readonly onError: (error: unknown) => void;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** Does the work at once, then again and again, never two rounds at a time. A round that fails is reported. */
export function startLoop(options: LoopOptions): Loop {
  const { clock = systemClock } = options;
  let cancelTimer: (() => void) | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let stopped = false;

  const round = () => {
    cancelTimer?.();
    if (stopped) return;
    if (running) {
      again = true;
      return;
    }
    again = false;
    // Whoever woke the loop may be within a span; what the loop does from now on is not part of it.
    running = context
      .with(ROOT_CONTEXT, options.work)
      .catch(options.onError)
      .finally(() => {
        running = undefined;
        if (!stopped) cancelTimer = clock.after(again ? 0 : options.delayMs(), round);
      });
  };
  cancelTimer = clock.after(0, round);
  return {
    wakeUp: round,
    async stop() {
      stopped = true;
      cancelTimer?.();
      await running;
    },
  };
}

interface Stoppable {
  stop(): Promise<void>;
}

export interface Crew<T extends Stoppable> {
  get(key: string): T | undefined;
  all(): Iterable<T>;
  /** Starts one for each new key and stops those whose key is gone. */
  keep(keys: readonly string[]): void;
  stop(): Promise<void>;
}

/** One worker for each key (server, pool) of the configuration, as that changes. */
export function createCrew<T extends Stoppable>(start: (key: string) => T): Crew<T> {
  const members = new Map<string, T>();
  return {
    get: (key) => members.get(key),
    all: () => members.values(),
    keep(keys) {
      const wanted = new Set(keys);
      for (const [key, member] of members) {
        if (wanted.has(key)) continue;
        members.delete(key);
        void member.stop();
      }
      for (const key of wanted) if (!members.has(key)) members.set(key, start(key));
    },
    async stop() {
      await Promise.all([...members.values()].map((member) => member.stop()));
    },
  };
}
