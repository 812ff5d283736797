import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How a worker feels. */
export interface Vitals {
  /** Since the start. */
  eventLoopP99Seconds(): number;
  heapBytes(): number;
  residentBytes(): number;
  stop(): void;
}

/** A timer this long is what is late: its own time is no delay. */
const resolutionMs = 20;

export function watchVitals(): Vitals {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  return {
    eventLoopP99Seconds: () => Math.max(0, delay.percentile(99) / 1e9 - resolutionMs / 1e3),
    heapBytes: () => process.memoryUsage().heapUsed,
    residentBytes: () => process.memoryUsage.rss(),
    stop: () => delay.disable(),
  };
}
