import { loadavg } from 'node:os';
import { readFlags } from '../commandLine.ts';
import { startProcessHost } from './host.ts';
import { soakPassword } from './site.ts';
import { runSoak } from './soak.ts';

const help = `npm run soak:health -- [options]

Faults by chance on the machines of a rack, and whether what is believed agrees with what is true in its time. The last
line on stdout is the report as JSON; exit code 1: somewhere it did not.

  --faults N    (default 1000)
  --machines N  (default 30)
  --seed N      (default 1)
  --slack-ms N  that this machine may be late by (default 1000)
  --verbose     each fault on stderr
`;
const values = readFlags(help, {
  faults: { type: 'string', default: '1000' },
  machines: { type: 'string', default: '30' },
  seed: { type: 'string', default: '1' },
  'slack-ms': { type: 'string', default: '1000' },
  verbose: { type: 'boolean', default: false },
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
