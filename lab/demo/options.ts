import { parseArgs } from 'node:util';

export interface DemoOptions {
  readonly seconds: number;
  readonly servers: number;
  readonly seed: number;
  readonly json: boolean;
  readonly trace: string;
  readonly day: number;
  readonly listen: string;
  readonly console: string;
  readonly keepLogs: string | undefined;
}

export const demoHelp = `npm run demo -- [options]

One real day of traffic, compressed, in front of a virtual rack: real HTTP through the proxy, real events over
nats-server, decisions that wake and sleep servers through Redfish, and a report of the energy saved.

  --seconds N     the day takes this long (default 120, at least 10)
  --servers N     machines in the rack (default 6, 1 to 100)
  --seed N        the same seed gives the same rack and the same arrivals (default 1)
  --trace CSV     another load series (default: NASA, July 1995)
  --day N         which day of it, from 0 (default 4)
  --listen H:P    the proxy's address (default 127.0.0.1:0, a free port)
  --console H:P   the console's address (default 127.0.0.1:0, a free port)
  --logs FILE     keep the services' logs there
  --json          no picture; the last line on stdout is the report as one JSON object
  --help
`;

/** @throws Error naming the option, the rule and the value. */
export function parseDemoOptions(args: readonly string[]): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '120' },
      servers: { type: 'string', default: '6' },
      seed: { type: 'string', default: '1' },
      trace: { type: 'string', default: 'lab/traces/nasa_1995-07-01_14d_1m.csv' },
      day: { type: 'string', default: '4' },
      listen: { type: 'string', default: '127.0.0.1:0' },
      console: { type: 'string', default: '127.0.0.1:0' },
      logs: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    seconds: whole('--seconds', values.seconds, 10, 7 * 86_400),
    servers: whole('--servers', values.servers, 1, 100),
    seed: whole('--seed', values.seed, 0, 2 ** 32 - 1),
    day: whole('--day', values.day, 0, 10_000),
    trace: values.trace,
    listen: values.listen,
    console: values.console,
    keepLogs: values.logs,
    json: values.json,
  };
}

function whole(option: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new Error(`${option} must be an integer from ${minimum} to ${maximum} (got "${text}")`);
  }
  return value;
}
