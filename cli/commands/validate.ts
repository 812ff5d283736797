import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { loadConfig, summaryOf } from '../configFile.ts';

/** `nemuri validate`: is this configuration valid? Needs no bus. */
export function registerValidate(program: Command, cli: Cli): void {
  program
    .command('validate')
    .description(
      'check a configuration; exit 1 with every problem as a line "file:line: key: rule (got value)"',
    )
    .requiredOption('-c, --config <file>', 'configuration (YAML)')
    .option('--json', 'one JSON object: valid, and problems or what the configuration holds')
    .addHelpText('after', '\nExample:\n  nemuri validate -c nemuri.yaml')
    .action(async (options: { config: string; json?: boolean }) => {
      const config = await loadConfig(cli, options.config, options.json);
      if (!options.json) {
        cli.out(`${options.config} is valid: ${summaryOf(config)}`);
        return;
      }
      const servers = Object.values(config.servers);
      const capacityRps = servers.reduce((sum, server) => sum + server.capacityRps, 0);
      const pools = Object.keys(config.pools).length;
      cli.out(JSON.stringify({ valid: true, problems: [], pools, servers: servers.length, capacityRps }));
    });
}
