/** What became of the requests of one second. Counts may be fractions: the queue is a fluid within a second. */
export interface ServedSecond {
  readonly served: number;
  /** Arrivals of this second that will have waited and been served for longer than the objective. */
  readonly late: number;
  readonly refused: number;
}

/** A first-come queue in front of all servers, looked at once a second. */
export interface SimulatedQueue {
  readonly waiting: number;
  step(arrivals: number, capacityRps: number): ServedSecond;
}

/**
 * Requests arrive evenly within a second and are served in turn at `capacityRps`. One is late when the work before it,
 * at the capacity of its own second, takes longer than `latencyObjectiveSeconds - serviceSeconds`; it is refused when
 * more than `maxWaiting` wait already. Against an exact M/D/c (queue.test.ts) it agrees within 5 % where capacity is
 * short, and counts a fifth fewer as late just below capacity, where the noise within a second matters.
 */
export function createQueue(options: {
  readonly latencyObjectiveSeconds: number;
  readonly serviceSeconds: number;
  readonly maxWaiting: number;
}): SimulatedQueue {
  const allowedWait = Math.max(0, options.latencyObjectiveSeconds - options.serviceSeconds);
  let waiting = 0;
  return {
    get waiting() {
      return waiting;
    },
    step(arrivals, capacityRps) {
      const before = waiting;
      const served = Math.min(before + arrivals, capacityRps);
      let after = before + arrivals - served;
      const refused = Math.max(0, after - options.maxWaiting);
      after -= refused;
      waiting = after;
      const late = arrivals * shareAbove(before, before + arrivals - capacityRps, allowedWait * capacityRps);
      return { served, late: Math.max(0, Math.min(arrivals - refused, late)), refused };
    },
  };
}

/** The share of a second in which a backlog that goes evenly from `from` to `to` (0 at the least) is above `limit`. */
function shareAbove(from: number, to: number, limit: number): number {
  if (from > limit && to > limit) return 1;
  if (from <= limit && to <= limit) return 0;
  const crossing = (limit - from) / (to - from);
  return from > limit ? crossing : 1 - crossing;
}
