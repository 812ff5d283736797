/** What was so at some moment of the last `graceMs`: whoever acts may know any of it. */
export interface Lately<T> {
  /** From now on it is so. */
  note(value: T): void;
  values(): T[];
}

export function createLately<T>(nowMs: () => number, graceMs: number): Lately<T> {
  let known: { readonly sinceMs: number; readonly value: T }[] = [];
  return {
    note: (value) => void known.push({ sinceMs: nowMs(), value }),
    values() {
      const fromMs = nowMs() - graceMs;
      // The last one before still was in force when the grace began.
      const first = known.findLastIndex(({ sinceMs }) => sinceMs <= fromMs);
      known = known.slice(Math.max(0, first));
      return known.map(({ value }) => value);
    },
  };
}
