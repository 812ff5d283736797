import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type NatsUser, natsUsers, renderNatsUsers } from '../../libs/bus/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type Cli, CliError } from '../cli.ts';

const heading = `# Made by \`nemuri nats-config\`: a user for each service of Nemuri with least rights, to be taken in by
# \`include users.conf\` in nats.conf. Passwords (or their bcrypt hashes) come from nats-server's environment.
`;

/** What nats-server reads all passwords from, beside a file for each user. */
export const serverEnvironmentFile = 'server.env';

const examples = `
With --secrets each user gets a password: one file of its name, for NEMURI_NATS_PASSWORD: file:…, and all of them in
${serverEnvironmentFile}, for nats-server's environment. Those that are there already stay.

Examples:
  nemuri nats-config --agent web-1 web-2 > deploy/nats/users.conf
  nemuri nats-config --secrets deploy/nats/secrets > deploy/nats/users.conf`;

interface NatsConfigOptions {
  readonly agent: readonly string[];
  readonly secrets?: string;
}

/** `nemuri nats-config`: the users of nats-server, each with the rights that its service needs and no others. */
export function registerNatsConfig(program: Command, cli: Cli): void {
  program
    .command('nats-config')
    .description('print the users of nats-server with least rights, one for each service')
    .option('--agent <server...>', 'servers whose agents speak over NATS: a user for each', [])
    .option('--secrets <folder>', 'where their passwords are, and new ones are written')
    .addHelpText('after', examples)
    .action(async ({ agent, secrets }: NatsConfigOptions) => {
      const wrong = agent.find((name) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
      if (wrong !== undefined) {
        throw new CliError(2, `--agent must be a name of the configuration (got "${wrong}")`);
      }
      const users = natsUsers([...new Set(agent)]);
      if (secrets !== undefined) {
        await keepPasswords(secrets, users).catch((error) => {
          throw new CliError(1, `--secrets must be a folder that can be written: ${messageOf(error)}`);
        });
      }
      cli.out(heading + renderNatsUsers(users).trimEnd());
    });
}

/** Writes what is missing; only the owner may read it. */
async function keepPasswords(folder: string, users: readonly NatsUser[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lines: string[] = [];
  for (const { name, passwordVariable } of users) {
    const path = join(folder, name);
    // A first letter that is none of a number: nats-server reads a variable as it reads its configuration.
    const made = `p${randomBytes(24).toString('hex')}`;
    await writeFile(path, `${made}\n`, { mode: 0o600, flag: 'wx' }).catch((error) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
    lines.push(`${passwordVariable}=${(await readFile(path, 'utf8')).trim()}`);
  }
  await writeFile(join(folder, serverEnvironmentFile), `${lines.join('\n')}\n`, { mode: 0o600 });
}
