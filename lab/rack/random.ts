/**
 * A seeded stream of numbers in [0, 1): the same seed gives the same rack. A 32-bit counter through a bit mixer;
 * good enough for spreads and service times, never for secrets.
 */
export function seededRandom(seed: number): () => number {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let mixed = counter;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** A factor in [1 - spread, 1 + spread). */
export function spreadFactor(random: () => number, spread: number): number {
  return 1 + spread * (2 * random() - 1);
}

/** An exponentially distributed time around `meanMs`, cut at `maxFactor` means. */
export function exponentialMs(random: () => number, meanMs: number, maxFactor: number): number {
  return Math.min(-Math.log(1 - random()) * meanMs, meanMs * maxFactor);
}
