/**
 * The load as it was, in as much detail as is of use: the last steps as they came, from which the tails of errors are
 * learned, and before them whole minutes for a week, from which the shapes of days and weeks are. JSON all through, so
 * that a planner that restarts goes on where it was.
 */
export interface RememberedRates {
  /** Mean rates (requests/s) of whole minutes, oldest first; null: nothing is known of that minute. */
  readonly minutes: readonly (number | null)[];
  /** Mean rates (requests/s) of the last steps, oldest first. */
  readonly steps: readonly number[];
  readonly stepMs: number;
}

export interface RateMemory {
  add(rps: number, stepMs: number): void;
  /** Nothing is known of this time. */
  skip(durationMs: number): void;
  readonly remembered: RememberedRates;
}

const minuteMs = 60_000;
/** A week, and the hour by which its shape looks beyond it. */
const keptMinutes = (7 * 24 + 1) * 60;
/** Five hours at the finest step of 1 s, two days at the coarsest of 10 s. */
const keptSteps = 20_000;
/** More than a week of silence is nothing but a beginning. */
const longestSkipMs = keptMinutes * minuteMs;
const significantDigits = 4;

export function createRateMemory(known?: RememberedRates): RateMemory {
  const minutes = [...(known?.minutes ?? [])];
  const steps = [...(known?.steps ?? [])];
  let stepMs = known?.stepMs ?? 0;
  /** The minute under way: how much of it has passed, how much of that is known, and its requests. */
  let passedMs = 0;
  let knownMs = 0;
  let requests = 0;

  const pass = (durationMs: number, rps?: number) => {
    let leftMs = durationMs;
    while (leftMs > 0) {
      const partMs = Math.min(leftMs, minuteMs - passedMs);
      passedMs += partMs;
      leftMs -= partMs;
      if (rps !== undefined) {
        knownMs += partMs;
        requests += (rps * partMs) / 1_000;
      }
      if (passedMs < minuteMs) continue;
      minutes.push(knownMs >= minuteMs / 2 ? rounded((requests * 1_000) / knownMs) : null);
      passedMs = 0;
      knownMs = 0;
      requests = 0;
    }
    if (minutes.length > 1.1 * keptMinutes) minutes.splice(0, minutes.length - keptMinutes);
  };
  return {
    add(rps, ofMs) {
      // Steps of two lengths teach nothing together: the older ones are left to the minutes.
      if (ofMs !== stepMs) steps.length = 0;
      stepMs = ofMs;
      steps.push(rps);
      if (steps.length > 1.5 * keptSteps) steps.splice(0, steps.length - keptSteps);
      pass(ofMs, rps);
    },
    skip: (durationMs) => pass(Math.min(durationMs, longestSkipMs)),
    get remembered() {
      return { minutes: minutes.slice(-keptMinutes), steps: steps.slice(-keptSteps).map(rounded), stepMs };
    },
  };
}

function rounded(rps: number): number {
  return Number(rps.toPrecision(significantDigits));
}

/** The same rates on another grid, each step the mean of what it covers. */
export function* resample(rates: readonly number[], fromMs: number, toMs: number): Generator<number> {
  const totalMs = rates.length * fromMs;
  for (let startMs = 0; startMs + toMs <= totalMs; startMs += toMs) {
    let sum = 0;
    const last = Math.ceil((startMs + toMs) / fromMs);
    for (let index = Math.floor(startMs / fromMs); index < last; index += 1) {
      const overlapMs = Math.min(startMs + toMs, (index + 1) * fromMs) - Math.max(startMs, index * fromMs);
      sum += (rates[index] ?? 0) * overlapMs;
    }
    yield sum / toMs;
  }
}

/** What was in the minutes before the steps began, for a forecast of another step; null: unknown. */
export function* beforeSteps(
  { minutes, steps, stepMs }: RememberedRates,
  toMs: number,
): Generator<number | null> {
  const count = Math.max(0, minutes.length - Math.floor((steps.length * stepMs) / minuteMs));
  const stepsEach = minuteMs / toMs;
  let owed = 0;
  for (const rps of minutes.slice(0, count)) {
    for (owed += stepsEach; owed >= 1; owed -= 1) yield rps;
  }
}
