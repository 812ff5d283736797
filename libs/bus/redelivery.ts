const firstDelayMs = 250;
const maxDelayMs = 30_000;

/** How long a durable consumer waits before it delivers again what was refused `tries` times (from 1): doubling. */
export function redeliveryDelayMs(tries: number): number {
  return Math.min(maxDelayMs, firstDelayMs * 2 ** (Math.max(1, tries) - 1));
}
