import type { PoolConfig } from '../../libs/events/mod.ts';
import { type Clock, systemClock } from '../../libs/runtime/clock.ts';
import { ProblemError } from '../../libs/runtime/errors.ts';

type ParkingBounds = Pick<PoolConfig['parking'], 'maxRequests' | 'maxBytes' | 'maxWaitMs'>;

interface Parked<T> {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly traceparent: string | undefined;
  readonly settle: (server: T) => void;
  readonly refuse: (error: ProblemError) => void;
  readonly cancelTimer: () => void;
}

export interface ParkOptions {
  /** What is held in memory for this request. */
  readonly bytes: number;
  /** Aborted when the client goes away: its place is given up. */
  readonly signal: AbortSignal;
  /** Waited before, on an earlier try: counts against `maxWaitMs`. */
  readonly waitedMs?: number;
  readonly traceparent?: string | undefined;
}

/** Requests that wait for a server, first come first served; bounded in count, bytes and time. */
export interface Parking<T> {
  readonly count: number;
  /** Since when the oldest waits; undefined when none does. */
  readonly oldestMs: number | undefined;
  /** The trace of the oldest that has one. */
  readonly traceparent: string | undefined;
  /**
   * Waits for a server.
   * @throws ProblemError when the bounds refuse it, when it waited too long, or when the proxy stops.
   */
  park(options: ParkOptions, bounds: ParkingBounds): Promise<T>;
  /** Hands servers out for as long as `next` has one. */
  release(next: () => T | undefined): void;
  refuseAll(error: ProblemError): void;
}

export function createParking<T>(nowMs: () => number, clock: Clock = systemClock): Parking<T> {
  const queue = new Set<Parked<T>>();
  let bytesHeld = 0;

  const leave = (parked: Parked<T>) => {
    if (!queue.delete(parked)) return false;
    parked.cancelTimer();
    bytesHeld -= parked.bytes;
    return true;
  };
  const refusal = (code: 'NEMURI_PARKING_FULL' | 'NEMURI_PARKED_TOO_LONG', bounds: ParkingBounds) => {
    const retryAfterSeconds = Math.max(1, Math.ceil(Math.min(bounds.maxWaitMs, 30_000) / 1_000));
    return new ProblemError(code, 'Servers are being woken; try again.', retryAfterSeconds);
  };

  return {
    get count() {
      return queue.size;
    },
    get oldestMs() {
      for (const parked of queue) return parked.sinceMs;
      return undefined;
    },
    get traceparent() {
      for (const parked of queue) if (parked.traceparent) return parked.traceparent;
      return undefined;
    },
    park({ bytes, signal, waitedMs = 0, traceparent }, bounds) {
      if (queue.size >= bounds.maxRequests || bytesHeld + bytes > bounds.maxBytes) {
        return Promise.reject(refusal('NEMURI_PARKING_FULL', bounds));
      }
      return new Promise((resolve, reject) => {
        const giveUp = () => {
          if (leave(parked)) reject(signal.reason);
        };
        const cancelTimer = clock.after(Math.max(0, bounds.maxWaitMs - waitedMs), () => {
          signal.removeEventListener('abort', giveUp);
          if (leave(parked)) reject(refusal('NEMURI_PARKED_TOO_LONG', bounds));
        });
        const parked: Parked<T> = {
          bytes,
          sinceMs: nowMs(),
          traceparent,
          cancelTimer,
          settle: (server) => {
            signal.removeEventListener('abort', giveUp);
            resolve(server);
          },
          refuse: (error) => {
            signal.removeEventListener('abort', giveUp);
            reject(error);
          },
        };
        queue.add(parked);
        bytesHeld += bytes;
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
    release(next) {
      for (const parked of queue) {
        const server = next();
        if (server === undefined) return;
        leave(parked);
        parked.settle(server);
      }
    },
    refuseAll(error) {
      for (const parked of [...queue]) if (leave(parked)) parked.refuse(error);
    },
  };
}
