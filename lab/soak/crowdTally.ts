/** What the clients of a crowd got, by class. */
export interface Crowd {
  /** Clients that came and went. */
  came: number;
  served: number;
  refused: number;
  turnedAway: number;
  /** Those that got anything else, by what. */
  readonly others: Record<string, number>;
  /** From the first byte sent to the connection's end. */
  slowestMs: number;
}

export function emptyCrowd(): Crowd {
  return { came: 0, served: 0, refused: 0, turnedAway: 0, others: {}, slowestMs: 0 };
}

/** Several crowds as one. */
export function together(crowds: Iterable<Crowd>): Crowd {
  const all = emptyCrowd();
  for (const crowd of crowds) {
    for (const key of ['came', 'served', 'refused', 'turnedAway'] as const) all[key] += crowd[key];
    for (const [what, count] of Object.entries(crowd.others))
      all.others[what] = (all.others[what] ?? 0) + count;
    all.slowestMs = Math.max(all.slowestMs, crowd.slowestMs);
  }
  return all;
}

/**
 * Clients that got neither an answer nor what is by design.
 * @param refusedConnections by the proxy's own count, because `proxy.maxConnections` were open.
 */
export function unanswered({ others, turnedAway }: Crowd, refusedConnections: number): number {
  const other = Object.values(others).reduce((sum, count) => sum + count, 0);
  return other + Math.max(0, turnedAway - refusedConnections);
}
