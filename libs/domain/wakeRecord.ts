/** How a server's wakes went. Counts shrink with each further wake, so that the last fifty or so speak. */
export interface WakeRecord {
  readonly worked: number;
  readonly failed: number;
}

const keptOfOlder = 0.98;
/** Before anything is known, a wake is taken to fail once in 500. */
const assumed: WakeRecord = { worked: 49.9, failed: 0.1 };
/** More wakes than this do not come to nothing together, as far as is planned for. */
const mostFailures = 3;

export function recordWake(known: WakeRecord = { worked: 0, failed: 0 }, worked: boolean): WakeRecord {
  return {
    worked: known.worked * keptOfOlder + (worked ? 1 : 0),
    failed: known.failed * keptOfOlder + (worked ? 0 : 1),
  };
}

/** Wakes under way, the mean capacity (requests/s) of those servers, and the share of wakes that comes to nothing. */
export interface OnItsWay {
  readonly waking: number;
  readonly wakingRps: number;
  readonly failureShare: number;
}

/** The share of wakes of these servers that comes to nothing. */
export function failureShare(records: Iterable<WakeRecord>): number {
  let { worked, failed } = assumed;
  for (const record of records) {
    worked += record.worked;
    failed += record.failed;
  }
  return failed / (worked + failed);
}

/**
 * What capacity (requests/s) must be there or on its way while some of it is waking and may not come. That of a
 * failure counts only as often as it happens: with f wakes lost, the load may exceed what is left with the accepted
 * risk divided by the chance of f failures.
 * @param upperRps the load that is exceeded with the accepted risk times the factor; non-increasing in it.
 * @param factor of the accepted `risk` when nothing fails.
 */
export function withReserve(
  upperRps: (factor: number) => number,
  { factor, risk }: { readonly factor: number; readonly risk: number },
  { waking, wakingRps, failureShare: share }: OnItsWay,
): number {
  let neededRps = upperRps(factor);
  let chance = 1;
  for (let failures = 1; failures <= Math.min(waking, mostFailures); failures += 1) {
    chance *= ((waking - failures + 1) * share) / failures;
    if (chance <= factor * risk) break;
    neededRps = Math.max(neededRps, upperRps(factor / chance) + failures * wakingRps);
  }
  return neededRps;
}
