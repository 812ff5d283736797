import type { Command } from 'commander';
import { natsUsers, renderNatsUsers } from '../../libs/bus/mod.ts';
import { type Cli, CliError } from '../cli.ts';

const heading = `# Made by \`nemuri nats-config\`: a user for each service of Nemuri with least rights, to be taken in by
# \`include users.conf\` in nats.conf. Passwords (or their bcrypt hashes) come from nats-server's environment.
`;

/** `nemuri nats-config`: the users of nats-server, each with the rights that its service needs and no others. */
export function registerNatsConfig(program: Command, cli: Cli): void {
  program
    .command('nats-config')
    .description('print the users of nats-server with least rights, one for each service')
    .option('--agent <server...>', 'servers whose agents speak over NATS: a user for each', [])
    .addHelpText('after', '\nExample:\n  nemuri nats-config --agent web-1 web-2 > deploy/nats/users.conf')
    .action(({ agent }: { readonly agent: readonly string[] }) => {
      const wrong = agent.find((name) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
      if (wrong !== undefined) {
        throw new CliError(2, `--agent must be a name of the configuration (got "${wrong}")`);
      }
      cli.out(heading + renderNatsUsers(natsUsers([...new Set(agent)])).trimEnd());
    });
}
