import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Bus } from '../../libs/bus/mod.ts';
import type { FleetConfig, StreamName } from '../../libs/events/mod.ts';
import { formatProblem, parseConfig, readConfigFile } from '../../libs/runtime/config.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { packageVersion } from '../../libs/runtime/version.ts';
import {
  type BusOptions,
  positiveNumber,
  redacted,
  serversOf,
  withBus,
  withBusOptions,
} from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { type Paint, paintOf } from '../colours.ts';
import { counted } from '../configFile.ts';
import { checks, type Finding, failure, grouped, ok } from '../doctor/finding.ts';
import { busFindings } from '../doctor/judgeBus.ts';
import { type ClockSample, clockFindings } from '../doctor/judgeClocks.ts';
import { fleetFindings } from '../doctor/judgeFleet.ts';
import { bmcFindings, certificateFindings, programFindings, serviceFindings } from '../doctor/look.ts';
import { withFleet } from '../history.ts';

interface DoctorOptions extends BusOptions {
  readonly config?: string;
  readonly admin: readonly string[];
  readonly certificate: readonly string[];
  readonly bmc: boolean;
  /** Seconds. */
  readonly listen: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const details = `
Checks:
${Object.entries(checks)
  .map(([check, what]) => `  ${check.padEnd(13)} ${what}`)
  .join('\n')}

Exit codes: 0 no error (warnings are none); 1 at least one error; 2 wrong usage.

Examples:
  nemuri doctor
  nemuri doctor -c nemuri.yaml --no-bmc
  nemuri doctor --admin 10.0.0.2:8081 --admin 10.0.0.3:8082
  nemuri doctor --json | jq '.findings[] | select(.level == "error")'`;

const collect = (text: string, before: readonly string[]) => [...before, text];

/** `nemuri doctor`: what is wrong, and how to mend it. */
export function registerDoctor(program: Command, cli: Cli): void {
  const command = program
    .command('doctor')
    .description(
      'find what is wrong: bus, services, clocks, BMCs, wakes never proven; and say how to mend it',
    )
    .option('-c, --config <file>', 'a configuration to look at; default: the one in the history')
    .option(
      '--admin <host:port>',
      'admin address of a service; default: all four on this machine',
      collect,
      [],
    )
    .option('--certificate <file>', 'PEM file of the proxy (env NEMURI_TLS_CERTIFICATES)', collect, [])
    .option('--no-bmc', 'read no machine')
    .option('--listen <seconds>', 'how long to listen for the clocks of others', positiveNumber, 3)
    .option('-q, --quiet', 'only errors and warnings')
    .option('--json', 'one JSON object: ok, findings');
  withBusOptions(command)
    .addHelpText('after', details)
    .action(async (options: DoctorOptions) => {
      const findings = await examine(cli, options);
      const errors = findings.filter(({ level }) => level === 'error').length;
      if (options.json) cli.out(JSON.stringify({ ok: errors === 0, findings }));
      else report(cli, findings, options.quiet === true);
      if (errors > 0) throw new CliError(1, counted(errors, 'error'));
    });
}

async function examine(cli: Cli, options: DoctorOptions): Promise<Finding[]> {
  const timeoutMs = options.timeout * 1_000;
  const findings: Finding[] = [];
  const clocks: ClockSample[] = [];
  let config = await fileConfig(options.config, findings);
  const services = serviceFindings(options.admin, packageVersion(), timeoutMs, cli.nowMs);
  await onBus(cli, options, findings, clocks, (inHistory) => {
    config ??= inHistory;
  });
  if (cli.inspect) findings.push(...(await lookAtBus(cli, options, config, clocks)));
  const seen = await services;
  findings.push(...seen.findings);
  findings.push(...clockFindings([...clocks, ...seen.clocks]));
  findings.push(...programFindings(config, cli.env));
  const files = [...options.certificate, ...(cli.env.NEMURI_TLS_CERTIFICATES?.split(',') ?? [])];
  findings.push(...(await certificateFindings(config, files, timeoutMs, cli.nowMs())));
  if (options.bmc && config) findings.push(...(await bmcFindings(cli, config)));
  return findings;
}

/** The configuration in the file, with its problems as findings. */
async function fileConfig(file: string | undefined, findings: Finding[]): Promise<FleetConfig | undefined> {
  if (file === undefined) return undefined;
  try {
    const result = parseConfig(await readConfigFile(file), { file });
    if (result.ok) {
      findings.push(ok('config', file, 'is valid'));
      return result.config;
    }
    const mend = 'edit that line; docs/reference/config.md has every key';
    findings.push(...result.problems.map((problem) => failure('config', file, formatProblem(problem), mend)));
  } catch (error) {
    findings.push(failure('config', file, messageOf(error), 'nemuri init writes one'));
  }
  return undefined;
}

/** The history, and the clocks of whoever publishes while we listen. */
async function onBus(
  cli: Cli,
  options: DoctorOptions,
  findings: Finding[],
  clocks: ClockSample[],
  onConfig: (config: FleetConfig | undefined) => void,
): Promise<void> {
  await withBus(cli, options, (bus) =>
    withFleet(cli, options, bus, async ({ fleet }) => {
      await listen(cli, bus, options.listen * 1_000, clocks);
      onConfig(fleet.config);
      findings.push(...fleetFindings(fleet, cli.nowMs()));
    }),
  ).catch((error) => {
    const mend = 'start nats-server with -js, or say where it is: --nats URL or NEMURI_NATS_URL';
    findings.push(failure('bus', 'NATS', messageOf(error), mend));
  });
}

async function listen(cli: Cli, bus: Bus, forMs: number, clocks: ClockSample[]): Promise<void> {
  const onEvent = ({ source, timeMs }: { source: string; timeMs: number }) =>
    clocks.push({ who: source, skewMs: timeMs - cli.nowMs() });
  const names: readonly StreamName[] = ['FLEET', 'TELEMETRY'];
  const subscriptions = await Promise.all(
    names.map((stream) => bus.subscribe({ stream, startAt: 'new', onEvent })),
  );
  await pause(forMs, undefined, { signal: cli.signal }).catch(() => undefined);
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
}

async function lookAtBus(
  cli: Cli,
  options: DoctorOptions,
  config: FleetConfig | undefined,
  clocks: ClockSample[],
): Promise<Finding[]> {
  const servers = serversOf(cli, options);
  const where = redacted(servers);
  try {
    const facts = await cli.inspect?.({ servers, timeoutMs: options.timeout * 1_000, nowMs: cli.nowMs });
    if (!facts) return [];
    if (facts.clockSkewMs !== undefined)
      clocks.push({ who: `nats-server at ${where}`, skewMs: facts.clockSkewMs });
    return busFindings(where, facts, config);
  } catch {
    // That it can't be reached is found already.
    return [];
  }
}

const labels = { ok: 'ok', warning: 'WARN', error: 'ERROR' } as const;
const colours = { ok: 'green', warning: 'yellow', error: 'red' } as const;

function report(cli: Cli, findings: readonly Finding[], quiet: boolean): void {
  const paint: Paint = paintOf(cli);
  const shown = grouped(findings).filter(({ level }) => !quiet || level !== 'ok');
  for (const { level, check, about, found, mend } of shown) {
    const label = paint(colours[level], labels[level].padEnd(6));
    cli.out(`${label} ${check.padEnd(13)} ${oneLine(`${about}: ${found}`)}`);
    if (mend !== undefined) cli.out(oneLine(`       mend:         ${mend}`));
  }
  const count = (wanted: Finding['level']) => findings.filter(({ level }) => level === wanted).length;
  cli.out(
    `${counted(findings.length, 'finding')}: ${counted(count('error'), 'error')}, ${counted(count('warning'), 'warning')}`,
  );
}
