import { Command, CommanderError } from 'commander';
import { messageOf } from '../libs/runtime/errors.ts';
import { type Cli, CliError, oneLine } from './cli.ts';
import { registerAgent } from './commands/agent.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerConfigure } from './commands/configure.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerEvents } from './commands/events.ts';
import { registerExplain } from './commands/explain.ts';
import { registerPoolHand, registerServerHand } from './commands/hand.ts';
import { registerInit } from './commands/init.ts';
import { registerNatsConfig } from './commands/natsConfig.ts';
import { registerPower } from './commands/power.ts';
import { registerReplay } from './commands/replay.ts';
import { registerReport } from './commands/report.ts';
import { registerSchema } from './commands/schema.ts';
import { registerSimulate, registerWhatif } from './commands/simulate.ts';
import { registerStatus } from './commands/status.ts';
import { registerTrial } from './commands/trial.ts';
import { registerUp } from './commands/up.ts';
import { registerValidate } from './commands/validate.ts';

const examples = `
Examples:
  nemuri init                          write a first configuration: asks, and reads BMCs
  nemuri up -c nemuri.yaml             run all services on this machine
  nemuri validate -c nemuri.yaml       check a configuration
  nemuri configure -c nemuri.yaml      take it into the history
  nemuri status                        the fleet now
  nemuri doctor                        what is wrong, and how to mend it
  nemuri events --since 1h             what happened
  nemuri replay --at -2h               the fleet as it was
  nemuri explain                       why the last decision
  nemuri simulate --trace load.csv     the planner on a load series
  nemuri whatif --set planner.risk=0.01   the recorded load under other settings, or another file (-c)
  nemuri trial -c nemuri.yaml --dry-run   what an experiment on your own machines would do
  nemuri power test -c nemuri.yaml --server web-1   how a machine is switched, tried
  nemuri report --since 7d             kWh used and saved, cost, CO2
  nemuri wake web-1 --for 2h           keep a server awake; sleep, cordon, uncordon, drill, pin, unpin, pause, resume

Exit codes: 0 done; 1 the answer is no (such as: not valid); 2 wrong usage, or the bus can't be reached.`;

/** One function for each verb: adds it to the program. */
export const commands: readonly ((program: Command, cli: Cli) => void)[] = [
  registerInit,
  registerUp,
  registerValidate,
  registerSchema,
  registerConfigure,
  registerEvents,
  registerStatus,
  registerExplain,
  registerSimulate,
  registerWhatif,
  registerTrial,
  registerPower,
  registerServerHand,
  registerPoolHand,
  registerReport,
  registerReplay,
  registerDoctor,
  registerAgent,
  registerNatsConfig,
  registerCompletion,
];

/** The whole command with all its verbs. */
export function createProgram(cli: Cli, version: string): Command {
  const program = new Command('nemuri')
    .description('Makes a farm of real web servers use power in proportion to its traffic.')
    .version(version)
    .addHelpText('after', examples)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.out(text.trimEnd()),
      writeErr: (text) => cli.err(text.trimEnd()),
    });
  for (const register of commands) register(program, cli);
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

/** Runs `nemuri` with these arguments (without node and script) and resolves with its exit code. Never rejects. */
export async function runCli(args: readonly string[], cli: Cli, version: string): Promise<0 | 1 | 2> {
  try {
    await createProgram(cli, version).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has told the user already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    cli.err(oneLine(`nemuri: ${messageOf(error)}`));
    return error instanceof CliError ? error.exitCode : 2;
  }
}
