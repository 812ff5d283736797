import { readFlags } from '../commandLine.ts';
import { runWakeBench } from './wakeRun.ts';

const help = `npm run bench:wake -- [options]

How long the capacity asked for takes when wakes fail. A failed wake is refused, ignored, or (a share --hangs of the
failed) a boot that comes on and never serves. The first two show at the learned time to hardware on, early enough for
a substitute; a hung boot shows when it is due, too late for one: that is what spareServers is for, woken with the
others. JSON on the last line; exit code 1 when fewer than 99 % of the cases reach it within 1.5 times the fleet's
median setup time.

  --servers N   (default 200)
  --wakes N     at least so many (default 2000)
  --failures X  share of the wakes that fail (default 0.1)
  --hangs X     share of those that hang (default 0.2)
  --spares N    spareServers (default 1; 0 shows the difference)
  --seed N      (default 1)
`;
const values = readFlags(help, {
  servers: { type: 'string', default: '200' },
  wakes: { type: 'string', default: '2000' },
  failures: { type: 'string', default: '0.1' },
  hangs: { type: 'string', default: '0.2' },
  spares: { type: 'string', default: '1' },
  seed: { type: 'string', default: '1' },
});
const result = runWakeBench({
  servers: Number(values.servers),
  wakes: Number(values.wakes),
  failureShare: Number(values.failures),
  hangShare: Number(values.hangs),
  spares: Number(values.spares),
  seed: Number(values.seed),
});
const { cases, reachedInTimePercent, timeToCapacity, medianSetupMs } = result;
process.stdout.write(
  `${cases} steps of demand: ${reachedInTimePercent} % had their capacity within 1.5 median setup times ` +
    `(median ${medianSetupMs / 1_000} s; p50 ${timeToCapacity.p50}, p99 ${timeToCapacity.p99}, max ${timeToCapacity.max})\n`,
);
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = reachedInTimePercent >= 99 ? 0 : 1;
