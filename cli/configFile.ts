import type { FleetConfig } from '../libs/events/mod.ts';
import { type ConfigProblem, formatProblem, parseConfig, readConfigFile } from '../libs/runtime/config.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import { type Cli, CliError, oneLine } from './cli.ts';

/**
 * The configuration in a file; when it is not valid, each problem goes to stdout as a line, or all as JSON.
 * @throws CliError: 1 when it is not valid, 2 when it can't be read.
 */
export async function loadConfig(cli: Cli, file: string, json = false): Promise<FleetConfig> {
  const text = await readConfigFile(file).catch((error) => {
    throw new CliError(2, messageOf(error), { cause: error });
  });
  const result = parseConfig(text, { file });
  if (result.ok) return result.config;
  if (json) cli.out(JSON.stringify({ valid: false, problems: result.problems }));
  else printProblems(cli.out, result.problems);
  throw new CliError(1, `${file} is not valid: ${counted(result.problems.length, 'problem')}`);
}

/** `<file>:<line>: <key>: <rule> (got <value>)`, a line each. */
export function printProblems(print: (line: string) => void, problems: readonly ConfigProblem[]): void {
  for (const problem of problems) print(oneLine(formatProblem(problem)));
}

/** `1 pool`, `2 servers`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Pools, servers and capacity (requests/s) of a configuration, in one line. */
export function summaryOf(config: FleetConfig): string {
  const servers = Object.values(config.servers);
  const capacityRps = servers.reduce((sum, server) => sum + server.capacityRps, 0);
  const capacity = Math.round(capacityRps).toLocaleString('en-US');
  const pools = Object.keys(config.pools).length;
  return `${counted(pools, 'pool')}, ${counted(servers.length, 'server')}, capacity ${capacity} requests/s`;
}
