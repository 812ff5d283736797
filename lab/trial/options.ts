import { parseArgs } from 'node:util';

/** The ways to run the same rack under the same load that are compared. */
export const armNames = ['alwaysOn', 'reactive', 'nemuri'] as const;
export type ArmName = (typeof armNames)[number];

/** A trial on the machines of the user's own configuration. */
export interface OwnOptions {
  /** The configuration. */
  readonly config: string;
  /** Left out: the only one. */
  readonly pool: string | undefined;
  /** A path, or a whole URL as a client would spell it; left out: of the pool's first route. */
  readonly url: string | undefined;
  /** The user has agreed already. */
  readonly yes: boolean;
  /** The plan only. */
  readonly dryRun: boolean;
}

export interface TrialOptions {
  /** Undefined: on a virtual rack. */
  readonly own: OwnOptions | undefined;
  readonly trace: string;
  /** Days of the series that are replayed, from `firstDay` on; undefined: to its end. */
  readonly days: number | undefined;
  readonly firstDay: number;
  /** How many times faster than it was the series is replayed, machine times with it. */
  readonly speed: number;
  readonly servers: number;
  /** The first seed, and how many seeds one after the other. */
  readonly seed: number;
  readonly repeat: number;
  readonly out: string;
  readonly faults: boolean;
  readonly json: boolean;
  readonly arms: readonly ArmName[];
  /** The series' 99.9th percentile, as a share of what the whole rack sustains. */
  readonly peakShare: number;
  /** From the wake to ready, in the time of the series. */
  readonly setupSeconds: number;
  /** One arm after the other instead of side by side. */
  readonly oneByOne: boolean;
  /** No run: only the report, anew, of what is in `out`. */
  readonly reportOnly: boolean;
  /** Keep the services' logs. */
  readonly logs: boolean;
}

export const trialHelp = `npm run trial -- [options]
nemuri trial -c FILE [options]

The long experiment. Replays a load series, faster than it was, before a virtual rack: real processes, real HTTP, real
Redfish. The same load and the same machines three times: every server always on, a simple reactive threshold, Nemuri.
Ends with --out/report.html, report.json and CSV. Called again with the same --out it goes on after the last chapter
(a day of the series) that is finished; another --seed adds a run, and the report shows all of them.

With -c FILE the same on your own machines, one arm after the other, with their own times: Nemuri of production must not
run on them meanwhile. Prints what it will do and asks before anything is switched; however it ends (Ctrl-C once), every
server is awake again. Energy is what the meters of FILE say. See docs/trial/README.md.

  --trace CSV         the series (default: NASA, July 1995); formats: lab/traces/README.md
  --days D            days of it (default: all; a part of a day is allowed)
  --first-day D       from which day on, counted from 0 (default 0)
  --speed X           how many times faster, machine times too (default 480: a day in 3 minutes; at most 1000);
                      with -c the series alone (default 1)
  --servers N         machines in each rack (default 8, 1 to 100)
  --seed S            the same seed gives the same rack and the same arrivals (default 1)
  --repeat K          K runs, seeds S to S+K-1 (default 1)
  --out DIR           where everything is written (default .nemuri/trial)
  --faults            with accidents: wakes that fail, crashes, services and bus restarted
  --arms A,B          of alwaysOn, reactive, nemuri (default: all three)
  --peak-share X      the load's 99.9th percentile as a share of what the rack sustains (default 0.5)
  --setup-seconds N   from the wake to ready, in the series' time (default 260)
  --one-by-one        the arms one after the other, for small machines
  -c, --config FILE   on your own machines: the configuration of nemuri up
  --pool NAME         which pool of FILE; may be left out when there is only one
  --url URL           what the requests (GET) ask for: /path, or http://host/path (default: the pool's first route)
  --dry-run           with -c: the plan only, nothing is started
  --yes               with -c: go on without asking
  --report            no run, only the report anew
  --logs              keep the services' logs in --out
  --json              the last line on stdout is the report as one JSON object
  --help

Examples:
  npm run trial -- --days 1
  nemuri trial -c nemuri.yaml --dry-run
  nemuri trial -c nemuri.yaml --trace lab/traces/nasa_1995-07-01_14d_1m.csv --days 1 --out rack-trial
`;

/** What means nothing on own machines, whose number, times and accidents are their own. */
const ofVirtualRacks = ['servers', 'setup-seconds', 'faults', 'one-by-one'] as const;
const ofOwnMachines = ['pool', 'url', 'yes', 'dry-run'] as const;
const defaults = { speed: '480', ownSpeed: '1', servers: '8', setupSeconds: '260' };

const text = { type: 'string' } as const;
const flag = { type: 'boolean', default: false } as const;

/** @throws Error naming the option, the rule and the value. */
export function parseTrialOptions(args: readonly string[]): TrialOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      trace: { ...text, default: 'lab/traces/nasa_1995-07-01_14d_1m.csv' },
      days: text,
      'first-day': { ...text, default: '0' },
      speed: text,
      servers: text,
      seed: { ...text, default: '1' },
      repeat: { ...text, default: '1' },
      out: { ...text, default: '.nemuri/trial' },
      arms: { ...text, default: armNames.join(',') },
      'peak-share': { ...text, default: '0.5' },
      'setup-seconds': text,
      faults: { type: 'boolean' },
      'one-by-one': { type: 'boolean' },
      config: { ...text, short: 'c' },
      pool: text,
      url: text,
      yes: { type: 'boolean' },
      'dry-run': { type: 'boolean' },
      report: flag,
      logs: flag,
      json: flag,
      help: flag,
    },
  });
  if (values.help) return 'help';
  const { config } = values;
  const misplaced = (config === undefined ? ofOwnMachines : ofVirtualRacks).find(
    (name) => values[name] !== undefined,
  );
  if (misplaced !== undefined)
    throw new Error(`--${misplaced} must be given ${config === undefined ? 'with' : 'without'} -c`);
  return {
    own: config === undefined ? undefined : ownOptions(config, values),
    trace: values.trace,
    days: values.days === undefined ? undefined : number('--days', values.days, 0.01, 10_000),
    firstDay: whole('--first-day', values['first-day'], 0, 10_000),
    speed: number(
      '--speed',
      values.speed ?? (config === undefined ? defaults.speed : defaults.ownSpeed),
      1,
      1_000,
    ),
    servers: whole('--servers', values.servers ?? defaults.servers, 1, 100),
    seed: whole('--seed', values.seed, 0, 2 ** 31),
    repeat: whole('--repeat', values.repeat, 1, 100),
    out: values.out,
    faults: values.faults ?? false,
    json: values.json,
    arms: armsOf(values.arms),
    peakShare: number('--peak-share', values['peak-share'], 0.05, 1),
    setupSeconds: number('--setup-seconds', values['setup-seconds'] ?? defaults.setupSeconds, 1, 7_200),
    oneByOne: values['one-by-one'] ?? config !== undefined,
    reportOnly: values.report,
    logs: values.logs,
  };
}

function ownOptions(
  config: string,
  values: {
    readonly pool?: string;
    readonly url?: string;
    readonly yes?: boolean;
    readonly 'dry-run'?: boolean;
  },
): OwnOptions {
  return {
    config,
    pool: values.pool,
    url: values.url,
    yes: values.yes ?? false,
    dryRun: values['dry-run'] ?? false,
  };
}

function armsOf(list: string): readonly ArmName[] {
  const named = list.split(',').map((name) => name.trim());
  const wrong = named.find((name) => !armNames.some((arm) => arm === name));
  if (wrong !== undefined) throw new Error(`--arms must be of ${armNames.join(', ')} (got "${wrong}")`);
  return armNames.filter((arm) => named.includes(arm));
}

function number(option: string, value: string, minimum: number, maximum: number): number {
  const parsed = Number(value);
  if (value.trim() === '' || !(parsed >= minimum && parsed <= maximum)) {
    throw new Error(`${option} must be a number from ${minimum} to ${maximum} (got "${value}")`);
  }
  return parsed;
}

function whole(option: string, value: string, minimum: number, maximum: number): number {
  const parsed = number(option, value, minimum, maximum);
  if (!Number.isInteger(parsed)) throw new Error(`${option} must be a whole number (got "${value}")`);
  return parsed;
}
