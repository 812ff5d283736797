import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { type Cli, CliError } from '../cli.ts';

/** `nemuri simulate`: a process of its own, for the simulation is no part of what runs in production. */
export function registerSimulate(program: Command, cli: Cli): void {
  const main = join(cli.distDir, 'lab/simulation/main.js');
  // Its options are its own, and so is the list of them.
  const help = () => spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' }).stdout ?? '';
  program
    .command('simulate')
    .description('run the planner, or a policy to compare it with, on a load series in a simulated world')
    .usage('--trace CSV [options]')
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
      if (code !== 0) throw new CliError(2, `simulate ended with exit code ${code}`);
    });
}
