import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { type Cli, CliError } from '../cli.ts';

/** `nemuri trial`: the long experiment, on a virtual rack or on the user's own machines. */
export function registerTrial(program: Command, cli: Cli): void {
  const main = join(cli.distDir, 'lab/trial/main.js');
  const help = () => spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' }).stdout ?? '';
  program
    .command('trial')
    .description('measure what Nemuri saves on your own machines, beside always-on and a simple threshold')
    .usage('-c FILE [--trace CSV] [--days D] [options]')
    .argument('[options...]')
    .allowUnknownOption()
    .addHelpText('after', () => `\n${help()}`)
    .action(async (args: readonly string[]) => {
      // A process group of its own, and a channel: Ctrl-C comes to us, and once to it; without us it ends in order,
      // which on own machines takes as long as waking every server does.
      const child = fork(main, [...args], {
        stdio: [cli.ask ? 'inherit' : 'ignore', 'pipe', 'pipe', 'ipc'],
        env: { ...cli.env },
        detached: true,
      });
      const end = () => child.kill('SIGTERM');
      cli.signal.addEventListener('abort', end, { once: true });
      if (cli.signal.aborted) end();
      if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => cli.out(line));
      if (child.stderr) createInterface({ input: child.stderr }).on('line', (line) => cli.err(line));
      // The first Ctrl-C ends it; with a second one nobody would be here to be told what became of the servers.
      const stay = () => {};
      process.on('SIGINT', stay);
      const [code] = await once(child, 'close');
      process.off('SIGINT', stay);
      cli.signal.removeEventListener('abort', end);
      if (code !== 0) throw new CliError(code === 1 ? 1 : 2, `trial ended with exit code ${code}`);
    });
}
