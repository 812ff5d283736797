import type { Command } from 'commander';
import { messageOf } from '../../libs/runtime/errors.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { type BusOptions, withBus, withBusOptions, withinTime } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { statusLines, statusReport } from '../statusReport.ts';

/** Snapshot of the fold that all runs of the command share, so that each replays only what is new. */
const snapshotName = 'cli';

/** `nemuri status`: the fleet now, folded from the history. */
export function registerStatus(program: Command, cli: Cli): void {
  const command = program
    .command('status')
    .description(
      'the fleet now: pools with their last decision, servers by lifecycle, power, health and cordon',
    )
    .option('--json', 'one JSON object');
  withBusOptions(command)
    .addHelpText('after', '\nExamples:\n  nemuri status\n  nemuri status --json | jq .pools[0].servers')
    .action(async (options: BusOptions & { json?: boolean }) => {
      await withBus(cli, options, async (bus) => {
        const opening = openFleetView({
          bus,
          name: snapshotName,
          onProblem: (problem, details) => cli.err(oneLine(`nemuri: ${problem} ${JSON.stringify(details)}`)),
        });
        const view = await withinTime(opening, options.timeout * 1_000, cli.signal).catch((error) => {
          throw new CliError(2, `the history can't be read: ${messageOf(error)}`, { cause: error });
        });
        const nowMs = cli.nowMs();
        const report = statusReport(view.fleet, nowMs);
        if (options.json) cli.out(JSON.stringify(report));
        else for (const line of statusLines(report, nowMs)) cli.out(oneLine(line));
        await view.close();
      });
    });
}
