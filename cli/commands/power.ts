import type { Command } from 'commander';
import type { PowerTestJob, PowerTestMessage, PowerTestStep } from '../../libs/runtime/powerTest.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { loadConfig } from '../configFile.ts';
import { runPowerJob } from '../serviceJob.ts';

interface TestOptions {
  readonly config: string;
  readonly server: string;
  readonly really?: boolean;
  readonly json?: boolean;
}

/** `nemuri power`: how machines are switched, tried by hand and without a bus. */
export function registerPower(program: Command, cli: Cli): void {
  program
    .command('power')
    .description('how machines are switched')
    .command('test')
    .description('read state and watts of one server by each rung, and say what wake and sleep would send')
    .requiredOption('-c, --config <file>', 'configuration (YAML)')
    .requiredOption('--server <name>', 'which server')
    .option('--really', 'one cycle, each step timed: cordon it first, its requests are cut')
    .option('--json', 'one JSON object: server, really, ok, steps')
    .addHelpText(
      'after',
      '\nExamples:\n  nemuri power test -c nemuri.yaml --server web-1\n  nemuri power test -c nemuri.yaml --server web-1 --really\n\nA server that is on sleeps and is woken; one that is off is woken and sleeps. Ctrl-C wakes what sleeps.',
    )
    .action(async (options: TestOptions) => {
      const config = await loadConfig(cli, options.config, options.json);
      const { server, really = false } = options;
      if (!Object.hasOwn(config.servers, server)) {
        throw new CliError(
          2,
          `--server must be one of ${Object.keys(config.servers).join(', ')} (got ${server})`,
        );
      }
      if (config.servers[server]?.power.length === 0) {
        const problem = `${server} has no power method: nothing can be tried, and it stays awake`;
        throw new CliError(1, `${problem}; docs/power.md has one for every kind of machine`);
      }
      const steps: PowerTestStep[] = [];
      const ok = await runTest(cli, { server, config, really }, (step) => {
        steps.push(step);
        if (!options.json) cli.out(oneLine(stepLine(step)));
      });
      if (options.json) cli.out(JSON.stringify({ server, really, ok, steps }));
      if (!ok) throw new CliError(1, `${server}: ${really ? 'the cycle' : 'the reading'} failed`);
    });
}

const verbs: Readonly<Record<PowerTestStep['step'], string>> = {
  reads: 'reads',
  meters: 'meters',
  wouldWake: 'would wake by',
  wouldSleep: 'would sleep by',
  sleeps: 'sleep',
  isOff: 'off',
  wakes: 'wake',
  isOn: 'on',
  serves: 'serves',
};

function stepLine({ step, rung, driver, ok, elapsedMs, detail }: PowerTestStep): string {
  const by = [
    ...(rung === undefined ? [] : [`rung ${rung}`]),
    ...(driver === undefined ? [] : [driver]),
  ].join(' ');
  const took = step.startsWith('would') ? '' : `  ${(elapsedMs / 1_000).toFixed(2)} s`;
  return `${ok ? 'ok  ' : 'FAIL'}  ${by.padEnd(15)} ${verbs[step].padEnd(14)} ${detail}${took}`;
}

async function runTest(cli: Cli, job: PowerTestJob, onStep: (step: PowerTestStep) => void): Promise<boolean> {
  let ok = false;
  await runPowerJob<PowerTestMessage>(cli, 'testCycle.js', job, (message) => {
    if (message.kind === 'step') return onStep(message.step);
    ok = message.ok;
    if (message.problem !== undefined) cli.err(oneLine(`nemuri: ${message.problem}`));
  });
  return ok;
}
