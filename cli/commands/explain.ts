import type { Command } from 'commander';
import type { Bus } from '../../libs/bus/mod.ts';
import { type Fleet, serversOfPool } from '../../libs/domain/mod.ts';
import { decisionSubject, type EventOf } from '../../libs/events/mod.ts';
import { type BusOptions, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { withFleet } from '../history.ts';
import { cordonLine } from '../statusReport.ts';

type Decided = EventOf<'CapacityDecided'>;

interface ExplainOptions extends BusOptions {
  readonly pool?: string;
  readonly json?: boolean;
}

/** `nemuri explain`: why the last decision, with everything that went into it. */
export function registerExplain(program: Command, cli: Cli): void {
  const command = program
    .command('explain')
    .description('why the planner last decided as it did: its sentence, and the figures behind it')
    .option('--pool <name>', 'this pool only')
    .option('--json', 'one JSON array: the decisions as they stand in the history');
  withBusOptions(command)
    .addHelpText(
      'after',
      '\nExamples:\n  nemuri explain\n  nemuri explain --pool web --json | jq .[0].data.inputs',
    )
    .action(async (options: ExplainOptions) => {
      await withBus(cli, options, async (bus) => {
        await withFleet(cli, options, bus, async ({ fleet }) => {
          const decisions = await lastDecisions(bus, fleet, options.pool);
          if (options.json) cli.out(JSON.stringify(decisions));
          else
            for (const line of decisions.flatMap((one) => linesOf(one, fleet, cli.nowMs())))
              cli.out(oneLine(line));
        });
      });
    });
}

/** @throws CliError when the pool is unknown, or nothing was decided yet. */
async function lastDecisions(bus: Bus, fleet: Fleet, only: string | undefined): Promise<Decided[]> {
  const names = Object.keys(fleet.pools);
  if (only !== undefined && !names.includes(only)) {
    throw new CliError(1, `no pool "${only}"; there are: ${names.join(', ') || 'none'}`);
  }
  const decisions: Decided[] = [];
  for (const name of only === undefined ? names : [only]) {
    const sequence = fleet.pools[name]?.decision?.sequence;
    if (sequence === undefined) continue;
    for await (const event of bus.history('FLEET', sequence, decisionSubject(name))) {
      if (event.type === 'CapacityDecided') decisions.push(event);
      break;
    }
  }
  if (decisions.length === 0) throw new CliError(1, 'no decision in the history yet: does a planner run?');
  return decisions;
}

function linesOf({ data, timeMs, traceparent }: Decided, fleet: Fleet, nowMs: number): string[] {
  const { inputs, forecastRps } = data;
  const leftMs = timeMs + data.validForMs - nowMs;
  const lease = leftMs > 0 ? `holds for ${seconds(leftMs)} more` : `its lease ended ${seconds(-leftMs)} ago`;
  return [
    `pool ${data.pool}: decided ${seconds(nowMs - timeMs)} ago; ${lease}`,
    `  ${data.reason}`,
    `  target    ${data.target.join(', ') || 'none'}`,
    `  demand    now ${inputs.nowRps}, level ${inputs.levelRps}, up to ${forecastRps} requests/s in ${seconds(inputs.horizonMs)} at risk ${inputs.risk}; kept for ${inputs.keepRps}`,
    `  servers   ${inputs.neededServers} needed, ${inputs.keptServers} kept, floor ${inputs.floor}, ${inputs.spareServers} spare; ${inputs.countedServers} ready; capacity ${inputs.capacityRps} requests/s`,
    `  known     for ${seconds(inputs.observedForMs)} from ${inputs.proxies} proxies; ${inputs.parked} parked, ${inputs.inFlight} in flight; a sleep pays after ${seconds(inputs.breakEvenMs)}`,
    ...serversOfPool(fleet, data.pool).flatMap(({ state: { name, cordon } }) =>
      cordon ? [`  left out  ${cordonLine(name, cordon, nowMs)}`] : [],
    ),
    ...(traceparent ? [`  trace     ${traceparent.split('-')[1] ?? traceparent}`] : []),
  ];
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
