import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { supervise } from '../../libs/runtime/supervisor.ts';
import { type Cli, CliError } from '../cli.ts';

interface AgentOptions {
  readonly server: string;
  readonly nats?: string;
}

/** Longer than an agent waits for the connections to its service to go. */
const stopTimeoutMs = 15_000;

/** `nemuri agent`: what runs on a server, until Ctrl-C. */
export function registerAgent(program: Command, cli: Cli): void {
  program
    .command('agent')
    .description('run the agent of this server: heartbeat, last look, sleep when told')
    .option('--server <name>', 'the name of this server in the configuration', hostname().split('.')[0])
    .option('--nats <url>', 'NATS server (env NEMURI_NATS_URL)')
    .addHelpText('after', '\nExample:\n  nemuri agent --server web-1 --nats nats://nats.example:4222')
    .action(async ({ server, nats }: AgentOptions) => {
      if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(server)) {
        throw new CliError(2, `--server must be a name of the configuration (got "${server}")`);
      }
      const agent = supervise({
        name: 'agent',
        script: join(cli.distDir, 'agent', 'main.js'),
        env: { ...cli.env, NEMURI_NAME: server, ...(nats === undefined ? {} : { NEMURI_NATS_URL: nats }) },
        onLine: cli.err,
      });
      await new Promise<void>((resolve) =>
        cli.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      await agent.stop(stopTimeoutMs);
    });
}
