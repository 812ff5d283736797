import { parseArgs } from 'node:util';
import type { FleetFacts } from './policies/policy.ts';

export interface SimulateOptions {
  readonly trace: string;
  readonly policy: string;
  readonly parameters: Readonly<Record<string, number>>;
  readonly facts: FleetFacts;
  /** Left out: 800 of the default fleet's 840 requests/s, in the same proportion for a fleet from a file. */
  readonly peakRps: number | undefined;
  readonly serviceSeconds: number;
  readonly maxParked: number;
  readonly setupSpread: number;
  readonly wakeFailure: number;
  readonly spare: number;
  readonly risk: number | undefined;
  readonly config: string | undefined;
  readonly seed: number;
  readonly json: boolean;
}

export const simulateHelp = `nemuri simulate --trace CSV [options]

A policy on a load series, in a simulated world of 1 s steps: Poisson arrivals around the scaled series, servers that
need time and energy to wake, requests that queue when capacity is short. The same seed gives the same result.

  --trace CSV           the series; formats: lab/traces/README.md
  --policy NAME         nemuri (default: the production planner), optimal (the clairvoyant bound), zeroSetupOptimal,
                        alwaysOn, reactive, autoscale, lcp, kpa, peakHold
  --policy-param K=V    a parameter of that policy; may be repeated
  --servers N           equal servers (default 14)
  --capacity-rps N      of one server, within the objective (default 60)
  --peak-rps N          the 99.9th percentile of the series is scaled to it (default 800)
  --setup-seconds N     from the wake to ready (default 260)
  --setup-spread X      each setup takes that time 1 ± this share (default 0)
  --idle-watts N  --busy-watts N  --setup-watts N  --off-watts N   (defaults 140, 200, 200, 10)
  --slo-ms N            a request that waits and is served for longer is late (default 500)
  --service-ms N        of it being served (default 100)
  --max-parked N        requests that may wait; more are refused (default 1000)
  --wake-failure X      share of wakes that come to nothing (default 0)
  --spare N             servers kept awake for a failure (default 0)
  --risk X              share of requests that may be late, of policy nemuri
  --config FILE         the servers of a Nemuri configuration, of any mixture; policy nemuri only
  --seed N              (default 1)
  --json                the last line is one JSON object
  --help
`;

const text = { type: 'string' } as const;

/** @throws Error naming the option, the rule and the value. */
export function parseSimulateOptions(args: readonly string[]): SimulateOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      trace: text,
      policy: { ...text, default: 'nemuri' },
      'policy-param': { ...text, multiple: true, default: [] as string[] },
      servers: { ...text, default: '14' },
      'capacity-rps': { ...text, default: '60' },
      'peak-rps': text,
      'setup-seconds': { ...text, default: '260' },
      'setup-spread': { ...text, default: '0' },
      'idle-watts': { ...text, default: '140' },
      'busy-watts': { ...text, default: '200' },
      'setup-watts': { ...text, default: '200' },
      'off-watts': { ...text, default: '10' },
      'slo-ms': { ...text, default: '500' },
      'service-ms': { ...text, default: '100' },
      'max-parked': { ...text, default: '1000' },
      'wake-failure': { ...text, default: '0' },
      spare: { ...text, default: '0' },
      risk: text,
      config: text,
      seed: { ...text, default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.trace === undefined) throw new Error('--trace CSV is missing');
  const servers = whole('--servers', values.servers, 1, 100_000);
  return {
    trace: values.trace,
    policy: values.policy,
    parameters: Object.fromEntries(values['policy-param'].map(parameterOf)),
    facts: {
      servers,
      capacityRps: number('--capacity-rps', values['capacity-rps'], 0.001, 1e6),
      setupSeconds: number('--setup-seconds', values['setup-seconds'], 0, 86_400),
      idleWatts: number('--idle-watts', values['idle-watts'], 0, 1e5),
      busyWatts: number('--busy-watts', values['busy-watts'], 0, 1e5),
      setupWatts: number('--setup-watts', values['setup-watts'], 0, 1e5),
      offWatts: number('--off-watts', values['off-watts'], 0, 1e5),
      latencyObjectiveSeconds: number('--slo-ms', values['slo-ms'], 1, 3.6e6) / 1_000,
    },
    peakRps:
      values['peak-rps'] === undefined ? undefined : number('--peak-rps', values['peak-rps'], 0.001, 1e9),
    serviceSeconds: number('--service-ms', values['service-ms'], 0, 3.6e6) / 1_000,
    maxParked: whole('--max-parked', values['max-parked'], 0, 1e9),
    setupSpread: number('--setup-spread', values['setup-spread'], 0, 0.9),
    wakeFailure: number('--wake-failure', values['wake-failure'], 0, 0.9),
    spare: whole('--spare', values.spare, 0, servers),
    risk: values.risk === undefined ? undefined : number('--risk', values.risk, 1e-6, 0.5),
    config: values.config,
    seed: whole('--seed', values.seed, 0, 2 ** 32 - 1),
    json: values.json,
  };
}

function parameterOf(text: string): readonly [string, number] {
  const [name = '', value = ''] = text.split('=');
  return [name, number(`--policy-param ${name}`, value, -1e9, 1e9)];
}

function number(option: string, text: string, minimum: number, maximum: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= minimum && value <= maximum)) {
    throw new Error(`${option} must be a number from ${minimum} to ${maximum} (got "${text}")`);
  }
  return value;
}

function whole(option: string, text: string, minimum: number, maximum: number): number {
  const value = number(option, text, minimum, maximum);
  if (!Number.isInteger(value)) throw new Error(`${option} must be a whole number (got "${text}")`);
  return value;
}
