/** Servers often send head and body apart, one right after the other: only a head that waits for longer goes alone. */
const patienceMs = 5;

let waiting: (() => void)[] = [];

function flush(): void {
  const now = waiting;
  waiting = [];
  for (const one of now) one();
}

/** Runs `one` in a moment, with all others of that moment: one timer for all of them. */
export function flushLater(one: () => void): void {
  if (waiting.push(one) === 1) setTimeout(flush, patienceMs);
}
