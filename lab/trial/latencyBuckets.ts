/**
 * Latencies as counts in fixed logarithmic buckets, 20 a decade from 1 ms to 100 s, so that the chapters of a run, and
 * several runs, add up. The last bucket holds what took longer.
 */
const perDecade = 20;
const decades = 5;
export const bucketCount = perDecade * decades + 1;

export function emptyBuckets(): number[] {
  return new Array<number>(bucketCount).fill(0);
}

/** Upper bound of a bucket in ms. */
export function bucketBoundMs(bucket: number): number {
  return 10 ** (bucket / perDecade);
}

export function bucketOf(latencyMs: number): number {
  const bucket = Math.ceil(Math.log10(Math.max(1, latencyMs)) * perDecade - 1e-9);
  return Math.min(bucketCount - 1, Math.max(0, bucket));
}

/** Adds `others` to `buckets` in place. */
export function addBuckets(buckets: number[], others: readonly number[]): void {
  for (const [index, count] of others.entries()) buckets[index] = (buckets[index] ?? 0) + count;
}

/** The latency in ms that this share of the requests does not exceed, at most 12 % too high. 0 of none. */
export function quantileMs(buckets: readonly number[], share: number): number {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let seen = 0;
  for (const [index, count] of buckets.entries()) {
    seen += count;
    if (seen >= share * total) return Number(bucketBoundMs(index).toPrecision(3));
  }
  return bucketBoundMs(bucketCount - 1);
}
