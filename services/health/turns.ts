/** Lets so many at once do something; the others wait in line. */
export interface Turns {
  take<T>(work: () => Promise<T>, limit: number): Promise<T>;
}

export function createTurns(): Turns {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    async take(work, limit) {
      if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        waiting.shift()?.();
      }
    },
  };
}
