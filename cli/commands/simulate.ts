import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { type Cli, CliError } from '../cli.ts';

/** `nemuri simulate`: the planner, or a rival, on a load series. */
export function registerSimulate(program: Command, cli: Cli): void {
  registerProcess(program, cli, {
    verb: 'simulate',
    script: 'lab/simulation/main.js',
    description: 'run the planner, or a policy to compare it with, on a load series in a simulated world',
    usage: '--trace CSV [options]',
  });
}

/** `nemuri whatif`: the recorded load under another configuration, before it is rolled out. */
export function registerWhatif(program: Command, cli: Cli): void {
  registerProcess(program, cli, {
    verb: 'whatif',
    script: 'lab/simulation/whatif.js',
    description:
      'what another configuration, or other settings, would have made of the recorded load: energy, lateness, wakes',
    usage: '[-c FILE] [--set KEY=VALUE] [--since 6h] [options]',
  });
}

interface ProcessVerb {
  readonly verb: string;
  /** Below `distDir`. */
  readonly script: string;
  readonly description: string;
  readonly usage: string;
}

/** A verb with a process of its own: the simulation is no part of what runs in production. */
function registerProcess(
  program: Command,
  cli: Cli,
  { verb, script, description, usage }: ProcessVerb,
): void {
  const main = join(cli.distDir, script);
  // Its options are its own, and so is the list of them.
  const help = () => spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' }).stdout ?? '';
  program
    .command(verb)
    .description(description)
    .usage(usage)
    .argument('[options...]')
    .allowUnknownOption()
    .addHelpText('after', () => `\n${help()}`)
    .action(async (args: readonly string[]) => {
      const child = spawn(process.execPath, [main, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...cli.env },
        signal: cli.signal,
      });
      createInterface({ input: child.stdout }).on('line', (line) => cli.out(line));
      createInterface({ input: child.stderr }).on('line', (line) => cli.err(line));
      const [code] = await once(child, 'close');
      if (code !== 0) throw new CliError(2, `${verb} ended with exit code ${code}`);
    });
}
