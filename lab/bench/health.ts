import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { readFlags } from '../commandLine.ts';

const help = `npm run bench:health -- [options]

What probing 2,000 servers costs, how soon a death is noticed beside HAProxy and nginx, and whether belief agrees with
the truth under faults by chance. Each part prints its own report on stderr; the last line on stdout is all of them as
one JSON object. The part failover needs root, and Debian's haproxy, nginx and tcpdump.

  --parts LIST  of probes, failover, soak (default: all)
  --full        20 deaths of each kind instead of 3, and 1,000 faults in the soak instead of 100: an hour
`;

const values = readFlags(help, {
  parts: { type: 'string', default: 'probes,failover,soak' },
  full: { type: 'boolean', default: false },
});
const parts: Readonly<Record<string, readonly [script: string, args: readonly string[]]>> = {
  probes: ['probes.js', []],
  failover: ['failover.js', ['--rounds', values.full ? '20' : '3']],
  soak: ['../healthSoak/main.js', ['--faults', values.full ? '1000' : '100']],
};

async function runPart(name: string): Promise<unknown> {
  const part = parts[name];
  if (!part) throw new Error(`--parts must be of ${Object.keys(parts).join(', ')} (got "${name}")`);
  const [script, args] = part;
  const child = spawn(process.execPath, [resolve(import.meta.dirname, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const line = out.trim().split('\n').at(-1) ?? '';
  if (code !== 0) process.exitCode = 1;
  process.stderr.write(`${line}\n`);
  return line.startsWith('{') ? JSON.parse(line) : { failed: `exit code ${code}` };
}

const report: Record<string, unknown> = { benchmark: 'health' };
for (const name of values.parts.split(',')) report[name] = await runPart(name);
process.stdout.write(`${JSON.stringify(report)}\n`);
