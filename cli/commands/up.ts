import type { Command } from 'commander';
import { messageOf } from '../../libs/runtime/errors.ts';
import { startStack } from '../../libs/runtime/stack.ts';
import { positiveNumber, redacted } from '../busOptions.ts';
import { type Cli, CliError } from '../cli.ts';
import { loadConfig, summaryOf } from '../configFile.ts';

interface UpOptions {
  readonly config: string;
  readonly nats?: string;
  readonly store: string;
  readonly natsPort: number;
  readonly listen: string;
  readonly console: string;
}

/** `nemuri up`: all services on this machine, until Ctrl-C. */
export function registerUp(program: Command, cli: Cli): void {
  program
    .command('up')
    .description('run the proxy, the planner, the power actuator and the health checker on a configuration')
    .requiredOption('-c, --config <file>', 'configuration (YAML); a change is taken in without a restart')
    .option('--nats <url>', 'an existing NATS with JetStream; left out: a nats-server of its own')
    .option('--store <dir>', 'where its own nats-server keeps the history', '.nemuri/nats')
    .option('--nats-port <port>', 'where its own nats-server listens on 127.0.0.1', positiveNumber, 4_222)
    .option('--listen <host:port>', 'where the proxy listens', '0.0.0.0:8080')
    .option('--console <host:port>', 'where the console listens; none: no console', '127.0.0.1:8090')
    .addHelpText(
      'after',
      '\nExamples:\n  nemuri up -c nemuri.yaml\n  nemuri up -c nemuri.yaml --nats nats://nats.example:4222\n\nEach service answers /healthz, /readyz and /fleet: proxy 8081, planner 8082, power 8083, health 8084, console 8086 on 127.0.0.1.',
    )
    .action(async (options: UpOptions) => {
      const config = await loadConfig(cli, options.config);
      const stack = await startStack({
        distDir: cli.distDir,
        configFile: options.config,
        storeDir: options.store,
        natsPort: options.natsPort,
        listen: options.listen,
        ...(options.console === 'none' ? {} : { consoleListen: options.console }),
        env: { ...cli.env },
        onLine: (source, line) => cli.err(line.startsWith('{') ? line : `${source}: ${line}`),
        ...(options.nats === undefined ? {} : { natsUrl: options.nats }),
      }).catch((error) => {
        throw new CliError(2, messageOf(error, 4_000), { cause: error });
      });
      const processes = [...Object.values(stack.services), ...(stack.console ? [stack.console] : [])];
      const started = Promise.all(processes.map((one) => one.whenStarted(cli.signal)));
      if (!(await started.catch(() => undefined))) return stack.stop();
      cli.out(
        `up: ${summaryOf(config)}; proxy on ${options.listen}, bus at ${redacted(stack.natsUrl.split(','))}; Ctrl-C ends it`,
      );
      if (options.console !== 'none') cli.out(`console: http://${options.console}`);
      await new Promise<void>((resolve) =>
        cli.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      cli.out('stopping');
      await stack.stop();
    });
}
