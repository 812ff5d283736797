export interface RateLimit {
  /** @returns ms until `key` may try again; 0: now, and this try counts. */
  take(key: string, nowMs: number): number;
}

/** A key that is not seen for its whole window is forgotten; beyond so many keys the oldest are. */
const maxKeys = 10_000;

/** Lets each key do `count` things in any `windowMs`. */
export function createRateLimit(count: number, windowMs: number): RateLimit {
  const taken = new Map<string, readonly number[]>();
  return {
    take(key, nowMs) {
      const recent = (taken.get(key) ?? []).filter((timeMs) => nowMs - timeMs < windowMs);
      taken.delete(key);
      const oldest = recent[0];
      const isFull = recent.length >= count;
      taken.set(key, isFull ? recent : [...recent, nowMs]);
      for (const first of taken.keys()) {
        if (taken.size <= maxKeys) break;
        taken.delete(first);
      }
      return isFull && oldest !== undefined ? Math.max(1, oldest + windowMs - nowMs) : 0;
    },
  };
}
