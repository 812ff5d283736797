import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { PowerTestJob, PowerTestMessage, PowerTestStep } from '../../libs/runtime/powerTest.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { loadConfig } from '../configFile.ts';

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

/** Only the power service reads secrets: the test runs in a process of its. */
async function runTest(cli: Cli, job: PowerTestJob, onStep: (step: PowerTestStep) => void): Promise<boolean> {
  const script = join(cli.distDir, 'services', 'power', 'testCycle.js');
  const child = fork(script, {
    env: { ...cli.env },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-2_000);
  });
  const onAbort = () => child.kill('SIGTERM');
  cli.signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await new Promise<boolean>((resolve, reject) => {
      let ok: boolean | undefined;
      child.on('message', (message: PowerTestMessage) => {
        if (message.kind === 'step') onStep(message.step);
        else {
          ok = message.ok;
          if (message.problem !== undefined) cli.err(oneLine(`nemuri: ${message.problem}`));
        }
      });
      child.once('error', (error) => reject(new CliError(2, `the test can't be run: ${error.message}`)));
      child.once('close', () => {
        if (ok === undefined) reject(new CliError(2, `the test ended before its end: ${oneLine(said)}`));
        else resolve(ok);
      });
      child.send(job);
    });
  } finally {
    cli.signal.removeEventListener('abort', onAbort);
  }
}
