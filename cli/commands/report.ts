import type { Command } from 'commander';
import { type EnergyReport, energyReport, type WakeTally } from '../../libs/domain/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type BusOptions, withBus, withBusOptions, withinTime } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { withFleet } from '../history.ts';
import { readLedger } from '../ledger.ts';
import { startAtOf } from './events.ts';

interface ReportOptions extends BusOptions {
  readonly since: string;
  readonly json?: boolean;
}

const examples = `
Hours that are accounted for count whole; the hour under way is read from the meters themselves. Gaps between readings
take the higher of both ends and count as modelled.

Examples:
  nemuri report --since 7d
  nemuri report --since 2026-01-01T00:00:00Z --json | jq .energy.savedKwh`;

/** `nemuri report`: the energy ledger, and how wakes, sleeps and drills went. */
export function registerReport(program: Command, cli: Cli): void {
  const command = program
    .command('report')
    .description('the energy ledger: kWh used and saved, cost, CO2, joules per request; and how wakes went')
    .option('--since <when>', '30m, 2h, 7d, an ISO 8601 time, or all', '24h')
    .option('--json', 'one JSON object');
  withBusOptions(command)
    .addHelpText('after', examples)
    .action(async (options: ReportOptions) => {
      const since = startAtOf(options.since, cli.nowMs());
      const sinceMs = typeof since === 'object' && 'sinceMs' in since ? since.sinceMs : 0;
      await withBus(cli, options, (bus) =>
        withFleet(cli, options, bus, async ({ fleet }) => {
          const { config } = fleet;
          if (!config)
            throw new CliError(1, 'the history has no configuration yet: nemuri configure -c FILE');
          const reading = readLedger(bus, fleet, config, sinceMs, cli.signal);
          const ledger = await withinTime(reading, options.timeout * 1_000, cli.signal).catch((error) => {
            throw new CliError(2, `the ledger can't be read: ${messageOf(error)}`, { cause: error });
          });
          const energy = energyReport(ledger.hours, config.costs);
          const { requestedAtMs: _underWay, ...power } = ledger.tally;
          if (options.json) cli.out(JSON.stringify({ energy, power }));
          else for (const line of reportLines(energy, ledger.tally)) cli.out(oneLine(line));
        }),
      );
    });
}

function reportLines(energy: EnergyReport, power: WakeTally): string[] {
  if (energy.fromMs === undefined || energy.toMs === undefined) return ['No meter reading in this time.'];
  const { currency } = energy;
  const money = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(2)} ${currency}`);
  const carbon = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(2)} kg CO2`);
  const also = (...parts: string[]) =>
    parts
      .filter((part) => part !== '')
      .map((part) => `, ${part}`)
      .join('');
  const { joulesPerRequest } = energy;
  return [
    `energy from ${iso(energy.fromMs)} to ${iso(energy.toMs)}`,
    `  used       ${kwh(energy.energyKwh)} ± ${kwh(energy.errorKwh)}, ${percent(energy.modelledShare)} modelled${also(money(energy.cost), carbon(energy.co2Kg))}`,
    `  always on  ${kwh(energy.alwaysOnKwh)} by the energy model`,
    `  saved      ${kwh(energy.savedKwh)} ± ${kwh(energy.savedErrorKwh)}, ${Math.round(energy.savedPercent)} %${also(money(energy.savedCost), carbon(energy.savedCo2Kg))}`,
    `  requests   ${energy.requests}${joulesPerRequest === undefined ? '' : `, ${joulesPerRequest.toFixed(1)} J each`}`,
    wakeLine(power),
    `  drills     ${power.drillsPassed} of ${power.drillsPassed + power.drillsFailed} passed; drifts ${power.drifts}, quarantines ${power.quarantines}, power cycles of hung servers ${power.mends}`,
    ...Object.entries(energy.servers).map(
      ([name, server]) =>
        `  ${name}: ${kwh(server.energyKwh)}, ${percent(server.modelledShare)} modelled, gaps ${Math.round(server.gapMs / 1_000)} s`,
    ),
  ];
}

function wakeLine({ wakes, setupTimesMs, overdue, timedOut, sleeps }: WakeTally): string {
  const sorted = [...setupTimesMs].sort((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)];
  const longest = sorted.at(-1);
  const times =
    median === undefined || longest === undefined
      ? ''
      : ` (median ${seconds(median)}, longest ${seconds(longest)})`;
  return `  wakes      ${wakes}, ${sorted.length} ready${times}, ${overdue} overdue, ${timedOut} failed; sleeps ${sleeps}`;
}

function kwh(value: number): string {
  // Nothing saved is no less than nothing: no -0.000.
  return `${(Number(value.toFixed(3)) || 0).toFixed(3)} kWh`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
