let waiting: (() => void)[] = [];

function flush(): void {
  const now = waiting;
  waiting = [];
  for (const write of now) write();
}

/**
 * Runs `write` at the end of this round of the event loop, when every socket that was readable has been read. A write
 * wakes whoever sleeps at the other end, which costs more than the write: of all writes of a round, only the first does.
 */
export function writeSoon(write: () => void): void {
  if (waiting.push(write) === 1) setImmediate(flush);
}
