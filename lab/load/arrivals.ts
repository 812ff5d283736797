/**
 * Arrival times of an inhomogeneous Poisson process, by thinning (Lewis and Shedler 1979).
 * @param rateAt requests/s at a time in seconds from the start; must not exceed `maxRate`.
 * @param random in [0, 1); the same draws give the same arrivals.
 * @returns seconds from the start, growing, below `durationSeconds`.
 */
export function* poissonArrivals(
  rateAt: (seconds: number) => number,
  maxRate: number,
  durationSeconds: number,
  random: () => number,
): Generator<number> {
  if (!(maxRate > 0)) return;
  let seconds = 0;
  for (;;) {
    seconds -= Math.log(1 - random()) / maxRate;
    if (seconds >= durationSeconds) return;
    if (random() * maxRate < rateAt(seconds)) yield seconds;
  }
}
