import type { Command } from 'commander';
import { type BusOptions, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, oneLine } from '../cli.ts';
import { withFleet } from '../history.ts';
import { statusLines, statusReport } from '../statusReport.ts';

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
        await withFleet(cli, options, bus, ({ fleet }) => {
          const nowMs = cli.nowMs();
          const report = statusReport(fleet, nowMs);
          if (options.json) cli.out(JSON.stringify(report));
          else for (const line of statusLines(report, nowMs)) cli.out(oneLine(line));
        });
      });
    });
}
