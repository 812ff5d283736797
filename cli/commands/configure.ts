import type { Command } from 'commander';
import { publishConfig, watchConfig } from '../../libs/runtime/configSource.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type BusOptions, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, CliError } from '../cli.ts';
import { loadConfig, printProblems, summaryOf } from '../configFile.ts';

interface ConfigureOptions extends BusOptions {
  readonly config: string;
  readonly watch?: boolean;
}

/** `nemuri configure`: takes a configuration into the history, from where every service has it. */
export function registerConfigure(program: Command, cli: Cli): void {
  const command = program
    .command('configure')
    .description('take a configuration into the history; every service follows it at once')
    .requiredOption('-c, --config <file>', 'configuration (YAML)')
    .option('--watch', 'stay, and take the file in again whenever it changes; refuse what is not valid');
  withBusOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  nemuri configure -c nemuri.yaml\n  nemuri configure -c nemuri.yaml --watch',
    )
    .action(async (options: ConfigureOptions) => {
      const config = await loadConfig(cli, options.config);
      const timeoutMs = options.timeout * 1_000;
      await withBus(cli, options, async (bus) => {
        if (options.watch) {
          await follow(cli, options.config, timeoutMs, bus);
          return;
        }
        const result = await publishConfig(bus, config, options.config, timeoutMs).catch((error) => {
          throw new CliError(2, `the configuration is not in the history: ${messageOf(error)}`, {
            cause: error,
          });
        });
        cli.out(sentence(options.config, result.published, result.sequence, summaryOf(config)));
      });
    });
}

function sentence(file: string, published: boolean, sequence: number, summary: string): string {
  const what = published ? 'is in the history now' : 'was in the history already';
  return `${file} ${what}, as event ${sequence}: ${summary}`;
}

async function follow(
  cli: Cli,
  file: string,
  publishTimeoutMs: number,
  bus: Parameters<typeof publishConfig>[0],
): Promise<void> {
  const { ended } = await watchConfig({
    file,
    bus,
    publishTimeoutMs,
    origin: file,
    signal: cli.signal,
    onApplied: (config, { published, sequence }) =>
      cli.out(sentence(file, published, sequence, summaryOf(config))),
    onRefused: (problems) => {
      printProblems(cli.err, problems);
      cli.err(`nemuri: ${file} is refused; the configuration in the history stays`);
    },
    onProblem: (problem, details) => cli.err(`nemuri: ${problem} ${JSON.stringify(details)}`),
  });
  await ended;
}
