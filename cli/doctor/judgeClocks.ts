import { type Finding, failure, ok, warning } from './finding.ts';

/** One look at somebody's clock: how far it is ahead of ours, in ms; what it takes to get here counts as behind. */
export interface ClockSample {
  readonly who: string;
  readonly skewMs: number;
}

/** Leases are of seconds and compare the clocks of several machines. */
const warnSkewMs = 1_000;
const errorSkewMs = 5_000;
const mend = 'run a time service there and here, such as chrony or systemd-timesyncd: timedatectl status';

/** The clocks that were seen, each by its best sample. Pure. */
export function clockFindings(samples: readonly ClockSample[]): Finding[] {
  const best = new Map<string, number>();
  for (const { who, skewMs } of samples) {
    const known = best.get(who);
    if (known === undefined || Math.abs(skewMs) < Math.abs(known)) best.set(who, skewMs);
  }
  return [...best].map(([who, skewMs]) => {
    const off = Math.abs(skewMs);
    if (off < warnSkewMs) return ok('clocks', who, `within ${warnSkewMs / 1_000} s of ours`);
    const found = `${(off / 1_000).toFixed(1)} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine`;
    return (off < errorSkewMs ? warning : failure)('clocks', who, found, mend);
  });
}
