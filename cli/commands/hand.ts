import { type Command, InvalidArgumentError } from 'commander';
import {
  defaultOrderMs,
  type Fleet,
  type HandSaid,
  type HandTime,
  type PoolVerb,
  poolFact,
  poolHandRefusal,
  type ServerVerb,
  serverFact,
  serverHandRefusal,
} from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type BusOptions, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { durationOf } from '../duration.ts';
import { withFleet } from '../history.ts';

interface HandOptions extends BusOptions {
  readonly reason: string;
  readonly by?: string;
  readonly pool?: string;
  readonly server?: string;
  /** Milliseconds. */
  readonly for?: number;
}

const maxReasonChars = 2_000;

/** The operator's hand on servers: `cordon`, `uncordon`, `wake`, `sleep` and `drill`. Each is a fact with reason and author. */
export function registerServerHand(program: Command, cli: Cli): void {
  const verb = (name: ServerVerb, description: string) => {
    const command = program.command(`${name} <servers...>`).description(description);
    if (name === 'cordon')
      command.option(
        '--for <duration>',
        'end it after such as 2h; default: until it is uncordoned',
        duration,
      );
    if (name === 'wake' || name === 'sleep')
      command.option('--for <duration>', 'how long it holds, such as 30m', duration, defaultOrderMs);
    withHandOptions(command).action((servers: string[], options: HandOptions) =>
      publish(cli, options, (fleet, said, time) =>
        servers.map((server) =>
          serverFact(name, allowed(server, serverHandRefusal(fleet, name, server)), said, time),
        ),
      ),
    );
  };
  verb('cordon', 'send a server no new requests, and leave its power alone: for maintenance');
  verb('uncordon', 'end the cordon of a server');
  verb('wake', 'keep a server awake for a while, whatever is decided');
  verb('sleep', 'let a server sleep for a while, as far as the floor and every check allow');
  const drill = program
    .command('drill')
    .description('wake a sleeping server, see that it serves, and put it back')
    .option('--server <name>', 'which; default: the one of each pool that has slept longest')
    .option('--for <duration>', 'how long the request stands, such as 30m', duration, defaultOrderMs);
  withHandOptions(drill).action((options: HandOptions) =>
    publish(cli, options, (fleet, said, time) =>
      sleepersOf(fleet, options.server).map((server) => serverFact('drill', server, said, time)),
    ),
  );
}

/** The operator's hand on pools: `pin`, `unpin`, `pause` and `resume`. */
export function registerPoolHand(program: Command, cli: Cli): void {
  const verb = (name: PoolVerb, command: Command) =>
    withHandOptions(command.option('--pool <name>', 'which; may be left out when there is only one')).action(
      (...args: unknown[]) => {
        const count = typeof args[0] === 'number' ? args[0] : 0;
        const options = args.at(-2) as HandOptions;
        return publish(cli, options, (fleet, said) => [
          poolFact(name, poolOf(fleet, options.pool), said, count),
        ]);
      },
    );
  const pin = program
    .command('pin')
    .description('keep at least so many servers of a pool awake, until it is unpinned')
    .argument('<servers>', 'how many', wholeNumber);
  verb('pin', pin);
  verb('unpin', program.command('unpin').description('end the pin of a pool'));
  verb(
    'pause',
    program.command('pause').description('put no server of a pool to sleep, until it is resumed'),
  );
  verb('resume', program.command('resume').description('end the pause of a pool'));
}

const examplesOf: Readonly<Record<string, string>> = {
  cordon:
    "nemuri cordon web-1 --for 2h --reason 'new disk'\n  nemuri cordon web-1 --reason 'until the part comes'",
  uncordon: 'nemuri uncordon web-1',
  wake: "nemuri wake web-1 web-2 --for 2h --reason 'the sale begins'",
  sleep: 'nemuri sleep web-3 --for 30m',
  drill: 'nemuri drill\n  nemuri drill --server web-3',
  pin: "nemuri pin 4 --pool web --reason 'load test'",
  unpin: 'nemuri unpin --pool web',
  pause: "nemuri pause --reason 'maintenance of the switch'",
  resume: 'nemuri resume',
};

function withHandOptions(command: Command): Command {
  return withBusOptions(
    command
      .option('--reason <text>', 'why, for the history', reason, 'by hand')
      .option('--by <name>', 'who; default: the user of this shell', reason),
  ).addHelpText('after', `\nExamples:\n  ${examplesOf[command.name()]}`);
}

async function publish(
  cli: Cli,
  options: HandOptions,
  draftsOf: (fleet: Fleet, said: HandSaid, time: HandTime) => readonly EventDraft[],
): Promise<void> {
  await withBus(cli, options, (bus) =>
    withFleet(cli, options, bus, async ({ fleet }) => {
      if (!fleet.config)
        throw new CliError(1, 'the history has no configuration yet: nemuri configure -c FILE');
      const by = options.by ?? cli.env.USER ?? 'operator';
      const time = { nowMs: cli.nowMs(), forMs: options.for };
      for (const draft of draftsOf(fleet, { reason: options.reason, by }, time)) {
        const { sequence } = await bus
          .publish(draft, { timeoutMs: options.timeout * 1_000 })
          .catch((error) => {
            throw new CliError(2, `${draft.type} is not in the history: ${messageOf(error)}`, {
              cause: error,
            });
          });
        const about =
          'server' in draft.data ? draft.data.server : 'pool' in draft.data ? draft.data.pool : '';
        cli.out(oneLine(`${draft.type} ${about}, as event ${sequence}`));
      }
    }),
  );
}

/** The name, unless something speaks against it. @throws CliError (1). */
function allowed(name: string, refusal: string | undefined): string {
  if (refusal === undefined) return name;
  throw new CliError(1, refusal);
}

/** @throws CliError (1) when the fleet has no such pool, or several and none is named. */
function poolOf(fleet: Fleet, pool: string | undefined): string {
  const names = Object.keys(fleet.pools);
  const [only] = names;
  if (pool === undefined && names.length === 1 && only !== undefined) return only;
  if (pool !== undefined) return allowed(pool, poolHandRefusal(fleet, pool));
  throw new CliError(1, `which pool? say --pool NAME; there are ${names.join(', ')}`);
}

/** The server named, or of each pool the one that has slept longest. @throws CliError (1) when none sleeps. */
function sleepersOf(fleet: Fleet, server: string | undefined): string[] {
  const asleep = Object.values(fleet.servers).filter(({ lifecycle }) => lifecycle === 'asleep');
  if (server !== undefined) return [allowed(server, serverHandRefusal(fleet, 'drill', server))];
  const longest = Object.keys(fleet.pools).flatMap((pool) => {
    const [first] = asleep.filter((state) => state.pool === pool).sort((a, b) => a.sinceMs - b.sinceMs);
    return first ? [first.name] : [];
  });
  if (longest.length === 0) throw new CliError(1, 'no server is asleep');
  return longest;
}

function duration(text: string): number {
  const ms = durationOf(text);
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('It must be such as 30s, 10m, 2h or 7d.');
  return ms;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

function reason(text: string): string {
  if (text === '' || text.length > maxReasonChars) throw new InvalidArgumentError('It must be a short text.');
  return text;
}
