import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { startProcessHost } from './host.ts';
import { soakPassword } from './site.ts';
import { runSoak } from './soak.ts';

/**
 * `npm run soak:health -- --faults N --machines N --seed N`: faults by chance, and whether what is believed agrees with
 * what is true in its time. The last line on stdout is the report as JSON; exit code 1: somewhere it did not.
 */
const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '1000' },
    machines: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    'slack-ms': { type: 'string', default: '1000' },
    verbose: { type: 'boolean', default: false },
  },
});
const startedMs = performance.now();
const options = {
  faults: Number(values.faults),
  machines: Number(values.machines),
  seed: Number(values.seed),
  slackMs: Number(values['slack-ms']),
  onFault: (line: string) => void (values.verbose && process.stderr.write(`${line}\n`)),
};
const report = await runSoak(options, await startProcessHost(soakPassword));
const seconds = Math.round((performance.now() - startedMs) / 1_000);
process.stdout.write(
  `${JSON.stringify({ benchmark: 'health: soak', node: process.version, load1: loadavg()[0], seconds, ...report })}\n`,
);
process.exitCode = report.disagreements.length > 0 ? 1 : 0;
