/**
 * Virtual time. Whatever waits, waits here: one callback at a time, in the order in which they are due, and between
 * two of them everything that the first has set going comes to its next wait. The same callbacks give the same run.
 */
export interface Scheduler {
  /** Epoch ms. */
  nowMs(): number;
  /** Calls back once after `delayMs`; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void;
  /**
   * Runs everything that is due until `endMs`, and leaves the time there.
   * @param afterStep called after each callback, when all is quiet; false ends the run.
   */
  runUntil(endMs: number, afterStep: () => boolean): Promise<void>;
  /** Callbacks run so far. */
  readonly steps: number;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  callback: (() => void) | undefined;
}

export function createScheduler(startMs: number): Scheduler {
  const heap: Due[] = [];
  let nowMs = startMs;
  let order = 0;
  let steps = 0;

  return {
    nowMs: () => nowMs,
    after(delayMs, callback) {
      order += 1;
      const due: Due = { atMs: nowMs + Math.max(0, delayMs), order, callback };
      push(heap, due);
      return () => {
        due.callback = undefined;
      };
    },
    async runUntil(endMs, afterStep) {
      for (let next = heap[0]; next && next.atMs <= endMs; next = heap[0]) {
        pop(heap);
        const { callback } = next;
        if (!callback) continue;
        nowMs = next.atMs;
        steps += 1;
        callback();
        await quiet();
        if (!afterStep()) return;
      }
      nowMs = Math.max(nowMs, endMs);
    },
    get steps() {
      return steps;
    },
  };
}

/** The event loop reaches this only when no promise has anything left to do. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A binary heap: thousands wait at once. */
function push(heap: Due[], due: Due): void {
  let at = heap.push(due) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (!parent || isBefore(parent, due)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = due;
}

function pop(heap: Due[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    let child = heap[below];
    if (!child) break;
    const right = heap[below + 1];
    if (right && isBefore(right, child)) {
      below += 1;
      child = right;
    }
    if (isBefore(last, child)) break;
    heap[at] = child;
    at = below;
  }
  heap[at] = last;
}
