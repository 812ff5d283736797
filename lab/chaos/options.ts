import { parseArgs } from 'node:util';

export interface ChaosOptions {
  readonly minutes: number;
  readonly servers: number;
  readonly seed: number;
  readonly json: boolean;
  readonly keepLogs: string | undefined;
}

export const chaosHelp = `npm run chaos -- [options]

All of Nemuri as real processes on a real cluster of three nats-servers: two replicas of planner, power and health,
two proxies, a virtual rack behind Redfish, and load. Accidents by seed hit all of them: kill -9, SIGSTOP, cut
networks, rolling restarts, BMCs that lie or hang, servers that die, wakes that are lost. Ends with a report; exit 1
when a request failed that could be tried again, a power action was wrong, a belief is not true at rest, or something
did not recover.

  --minutes N     accidents and load for so long (default 10; 0.5 to 1440); from 2 on, parts of it without planner,
                  power, health, bus, its majority, and all of them
  --servers N     machines in the rack (default 4, 2 to 20)
  --seed N        the same seed draws the same accidents (default 1)
  --logs FILE     keep the services' logs there
  --json          the last line on stdout is the report as one JSON object
  --help
`;

/** @throws Error naming the option, the rule and the value. */
export function parseChaosOptions(args: readonly string[]): ChaosOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '10' },
      servers: { type: 'string', default: '4' },
      seed: { type: 'string', default: '1' },
      logs: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const minutes = Number(values.minutes);
  if (!(minutes >= 0.5 && minutes <= 1_440))
    throw new Error(`--minutes must be a number from 0.5 to 1440 (got "${values.minutes}")`);
  return {
    minutes,
    servers: whole('--servers', values.servers, 2, 20),
    seed: whole('--seed', values.seed, 0, 2 ** 32 - 1),
    json: values.json,
    keepLogs: values.logs,
  };
}

function whole(option: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    throw new Error(`${option} must be an integer from ${minimum} to ${maximum} (got "${text}")`);
  return value;
}
