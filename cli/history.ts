import type { Bus } from '../libs/bus/mod.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import { type FleetView, openFleetView, snapshotNotSaved } from '../libs/runtime/fleetView.ts';
import { type BusOptions, withinTime } from './busOptions.ts';
import { type Cli, CliError, oneLine } from './cli.ts';

/** Snapshot of the fold that all runs of the command share, so that each replays only what is new. */
const snapshotName = 'cli';

/**
 * Does the work with the fleet as the history tells it now.
 * @throws CliError (2) when the history can't be read within `--timeout`.
 */
export async function withFleet(
  cli: Cli,
  options: BusOptions,
  bus: Bus,
  work: (view: FleetView) => Promise<void> | void,
): Promise<void> {
  const opening = openFleetView({
    bus,
    name: snapshotName,
    onProblem(problem, details) {
      // A user who may only read keeps none; the next run reads a little more.
      if (problem === snapshotNotSaved && cli.env.NEMURI_LOG_LEVEL !== 'debug') return;
      cli.err(oneLine(`nemuri: ${problem} ${JSON.stringify(details)}`));
    },
  });
  const view = await withinTime(opening, options.timeout * 1_000, cli.signal).catch((error) => {
    throw new CliError(2, `the history can't be read: ${messageOf(error)}`, { cause: error });
  });
  try {
    await work(view);
  } finally {
    await view.close();
  }
}
