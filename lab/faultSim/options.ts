import { parseArgs } from 'node:util';

export interface SimOptions {
  readonly seeds: number;
  /** The first seed, or the only one when `seeds` is left out. */
  readonly seed: number;
  /** How long faults go on, in hours; left out: as each seed's scenario has it. */
  readonly hours: number | undefined;
  readonly json: boolean;
  readonly threads: number;
}

export const simHelp = `npm run sim -- [--seeds N] [--seed S] [--hours H] [--threads T] [--json]

Runs the control plane in a simulated world, faults drawn by seed, and checks its rules after every step.
  --seeds N    so many seeds, one after the other (default 200; 1 with --seed)
  --seed S     the first seed (default 1): replays a failure exactly, on the same commit
  --hours H    how long faults go on (default: 5 minutes; the hour that a part of the control plane is away)
  --threads T  worker threads (default: the processors there are)
  --json       the report as one JSON object on the last line`;

/** @throws Error naming the option, the rule and the value. */
export function parseSimOptions(args: readonly string[], processors: number): SimOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      hours: { type: 'string' },
      threads: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const hours = values.hours === undefined ? undefined : Number(values.hours);
  if (hours !== undefined && !(hours > 0 && hours <= 24))
    throw new Error(`--hours must be above 0, at most 24 (got "${values.hours}")`);
  return {
    seeds: count('--seeds', values.seeds ?? (values.seed === undefined ? '200' : '1'), 10_000_000),
    seed: count('--seed', values.seed ?? '1', 2 ** 31),
    hours,
    json: values.json,
    threads: count('--threads', values.threads ?? String(processors), 256),
  };
}

function count(option: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new Error(`${option} must be an integer from 1 to ${most} (got "${text}")`);
}
