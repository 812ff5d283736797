import type { Command } from 'commander';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { type BusOptions, positiveNumber, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, oneLine, type Terminal } from '../cli.ts';
import { type Paint, paintOf, paintStatusLine } from '../colours.ts';
import { withFleet } from '../history.ts';
import { compactLine, type StatusReport, statusLines, statusReport } from '../statusReport.ts';

interface StatusOptions extends BusOptions {
  readonly json?: boolean;
  readonly watch?: boolean;
  /** Seconds. */
  readonly interval: number;
}

const examples = `
With --watch a terminal is drawn anew, what needs an eye first; a file or pipe gets one line a pool whenever it changes.

Examples:
  nemuri status
  nemuri status --watch
  nemuri status --json | jq .pools[0].servers`;

/** `nemuri status`: the fleet now, folded from the history. */
export function registerStatus(program: Command, cli: Cli): void {
  const command = program
    .command('status')
    .description(
      'the fleet now: pools with their last decision, servers by lifecycle, power, health and cordon',
    )
    .option('--json', 'one JSON object; with --watch one a line')
    .option('--watch', 'stay and follow it, until interrupted')
    .option('--interval <seconds>', 'between two drawings with --watch', positiveNumber, 2);
  withBusOptions(command)
    .addHelpText('after', examples)
    .action(async (options: StatusOptions) => {
      const paint = paintOf(cli);
      await withBus(cli, options, (bus) =>
        withFleet(cli, options, bus, async (view) => {
          if (options.watch) return watch(cli, view, options, paint);
          const nowMs = cli.nowMs();
          const report = statusReport(view.fleet, nowMs);
          if (options.json) cli.out(JSON.stringify(report));
          else for (const line of statusLines(report, nowMs)) cli.out(paintStatusLine(oneLine(line), paint));
        }),
      );
    });
}

/** Draws again at each interval until the user wants an end. */
function watch(cli: Cli, view: FleetView, { json, interval }: StatusOptions, paint: Paint): Promise<void> {
  const said = new Map<string, string>();
  const draw = () => {
    const nowMs = cli.nowMs();
    const report = statusReport(view.fleet, nowMs);
    if (!json && cli.terminal) drawScreen(cli.terminal, statusLines(urgentFirst(report), nowMs), paint);
    else
      for (const [about, line] of changesOf(report, json === true))
        if (said.get(about) !== line) {
          said.set(about, line);
          cli.out(line);
        }
  };
  return new Promise((resolve) => {
    const stopListening = json || !cli.terminal ? view.onChange(draw) : () => undefined;
    const timer = setInterval(draw, interval * 1_000);
    const end = () => {
      clearInterval(timer);
      stopListening();
      resolve();
    };
    draw();
    if (cli.signal.aborted) end();
    else cli.signal.addEventListener('abort', end, { once: true });
  });
}

function changesOf(report: StatusReport, json: boolean): [string, string][] {
  if (json) return [['fleet', JSON.stringify(report)]];
  return report.pools.map((pool) => [pool.name, oneLine(compactLine(pool))]);
}

const settled: readonly string[] = ['asleep', 'ready'];

/** Servers on their way or in trouble come first: a screen is shorter than a fleet. */
function urgentFirst(report: StatusReport): StatusReport {
  const rank = (lifecycle: string) => settled.indexOf(lifecycle) + 1;
  const byNeed = (pool: StatusReport['pools'][number]) => ({
    ...pool,
    servers: pool.servers.toSorted(
      (a, b) => (rank(a.lifecycle) > 0 ? 1 : 0) - (rank(b.lifecycle) > 0 ? 1 : 0),
    ),
  });
  return { ...report, pools: report.pools.map(byNeed) };
}

/** From the top left corner, each line cut to the screen; what does not fit is counted. */
function drawScreen(terminal: Terminal, lines: readonly string[], paint: Paint): void {
  const { columns, rows } = terminal;
  const fits = lines.length < rows ? lines : lines.slice(0, Math.max(1, rows - 2));
  const left = lines.length - fits.length;
  const shown = left > 0 ? [...fits, `… ${left} lines more`] : fits;
  const text = shown.map((line) => `${paintStatusLine(oneLine(line).slice(0, columns), paint)}\u001b[K\n`);
  terminal.write(`\u001b[H${text.join('')}\u001b[J`);
}
