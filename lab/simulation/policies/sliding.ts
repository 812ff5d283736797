/** The greatest of the values of the last `windowSeconds` seconds, one value a second. */
export interface SlidingMax {
  /** Takes the value of the next second. @returns the greatest of the window that ends with it. */
  push(value: number): number;
}

/** @param windowSeconds at least 1; in constant time a second on average (a queue of falling values). */
export function createSlidingMax(windowSeconds: number): SlidingMax {
  const window = Math.max(1, Math.round(windowSeconds));
  const values = new Float64Array(window);
  const pushedAt = new Float64Array(window);
  let head = 0;
  let count = 0;
  let second = 0;
  return {
    push(value) {
      if (count > 0 && (pushedAt[head] ?? 0) <= second - window) {
        head = (head + 1) % window;
        count -= 1;
      }
      while (count > 0 && (values[(head + count - 1) % window] ?? 0) <= value) count -= 1;
      const tail = (head + count) % window;
      values[tail] = value;
      pushedAt[tail] = second;
      count += 1;
      second += 1;
      return values[head] ?? value;
    },
  };
}

/** The mean of the last `windowSeconds` values, of those there are yet. */
export function createSlidingMean(windowSeconds: number): { push(value: number): number } {
  const window = Math.max(1, Math.round(windowSeconds));
  const values = new Float64Array(window);
  let sum = 0;
  let count = 0;
  return {
    push(value) {
      const slot = count % window;
      sum += value - (values[slot] ?? 0);
      values[slot] = value;
      count += 1;
      return sum / Math.min(count, window);
    },
  };
}
