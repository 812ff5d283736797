import { randomUUID } from 'node:crypto';

/** Time as an argument: services never ask the machine for it themselves, so that a simulation can give them its own. */
export interface Clock {
  /** Epoch ms; it may jump. */
  nowMs(): number;
  /** Ms since some moment; it never goes back. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Randomness as an argument. */
export interface Chance {
  /** In [0, 1). */
  random(): number;
  /** An id that nobody else has. */
  newId(): string;
}

export const systemClock: Clock = {
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export const systemChance: Chance = { random: Math.random, newId: randomUUID };

/** Resolves after `delayMs`. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}
