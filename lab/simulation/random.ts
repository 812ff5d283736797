/** Below this mean, arrivals are counted one by one; above, the normal approximation is good to a fraction of one. */
const exactBelowMean = 60;

/**
 * A Poisson count with this mean.
 * @param random in [0, 1); the same draws give the same count.
 */
export function poisson(mean: number, random: () => number): number {
  if (mean <= 0) return 0;
  if (mean < exactBelowMean) {
    const limit = Math.exp(-mean);
    let count = 0;
    for (let product = random(); product > limit; product *= random()) count += 1;
    return count;
  }
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
}
