import type { Command } from 'commander';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type FleetAt, fleetAt, type Moment } from '../../libs/runtime/history.ts';
import { type BusOptions, withBus, withBusOptions, withinTime } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { statusLines, statusReport } from '../statusReport.ts';
import { timeOf } from '../when.ts';

interface ReplayOptions extends BusOptions {
  readonly at: string;
  readonly json?: boolean;
}

const examples = `
The time is that of the bus: when it stored the event. Nothing is changed anywhere.

Examples:
  nemuri replay --at -2h
  nemuri replay --at 2026-01-31T06:00:00Z
  nemuri replay --at 48211 --json | jq .pools[0].servers
  nemuri events --since 3h --until 2h        what led there`;

/** `nemuri replay`: the fleet as it was at a time, or right after an event of the history. */
export function registerReplay(program: Command, cli: Cli): void {
  const command = program
    .command('replay')
    .description('the fleet as it was: at a time, or right after an event of the history')
    .requiredOption(
      '--at <when>',
      'ISO 8601, how long ago (30s, 10m, -2h, 7d), or the sequence of an event in FLEET',
    )
    .option('--json', 'one JSON object: that of nemuri status, with time, sequence and what is missing');
  withBusOptions(command)
    .addHelpText('after', examples)
    .action(async (options: ReplayOptions) => {
      const until = momentOf(options.at, cli.nowMs());
      await withBus(cli, options, async (bus) => {
        const reading = fleetAt(bus, until);
        const then = await withinTime(reading, options.timeout * 1_000, cli.signal).catch((error) => {
          throw new CliError(2, `the history can't be read: ${messageOf(error)}`, { cause: error });
        });
        print(cli, then, options.json ?? false);
      });
    });
}

function momentOf(at: string, nowMs: number): Moment {
  if (/^\d{1,15}$/.test(at)) return { sequence: Number(at) };
  return { timeMs: timeOf('--at', at, nowMs, ' or a sequence') };
}

function print(cli: Cli, then: FleetAt, json: boolean): void {
  const { fleet, sequence, timeMs, gap } = then;
  const report = statusReport(fleet, timeMs);
  const time = new Date(timeMs).toISOString();
  if (json) {
    cli.out(JSON.stringify({ time, ...report, sequence, ...(gap === undefined ? {} : { gap }) }));
    return;
  }
  cli.out(`The fleet at ${time}, after event ${sequence} of the history`);
  if (gap !== undefined) cli.out(oneLine(`Not whole: ${gap}`));
  for (const line of report.configured ? statusLines(report, timeMs) : ['It had no configuration yet.']) {
    cli.out(oneLine(line));
  }
}
