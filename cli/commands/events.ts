import { type Command, InvalidArgumentError } from 'commander';
import type { Bus, StartAt } from '../../libs/bus/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { type BusOptions, positiveNumber, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { summaryOf } from '../configFile.ts';
import { durationOf } from '../duration.ts';
import { covers, isSubjectFilter, streamsFor } from '../subjectFilter.ts';

interface EventsOptions extends BusOptions {
  readonly filter?: string;
  readonly since?: string;
  readonly count?: number;
  readonly json?: boolean;
}

const maxLineChars = 400;

const examples = `
Examples:
  nemuri events
  nemuri events --since all --filter 'nemuri.state.web-1.>'
  nemuri events --since 10m --filter 'nemuri.decision.*' --json
  nemuri events --filter 'nemuri.load.>'`;

/** `nemuri events`: subscribes, and prints each event as a line until interrupted. */
export function registerEvents(program: Command, cli: Cli): void {
  const command = program
    .command('events')
    .description('subscribe: each event as a line, until interrupted')
    .option(
      '--filter <subject>',
      'NATS subject with * and >; default: the whole history, no telemetry',
      subjectFilter,
    )
    .option('--since <when>', 'begin in the past: 30s, 10m, 2h, 7d, an ISO 8601 time, or all')
    .option('--count <events>', 'end after so many events', positiveNumber)
    .option('--json', 'each event as one JSON object a line');
  withBusOptions(command)
    .addHelpText('after', examples)
    .action(async (options: EventsOptions) => {
      const startAt = startAtOf(options.since, cli.nowMs());
      if (streamsFor(options.filter).length === 0) {
        throw new CliError(2, `no event has a subject that matches --filter ${options.filter}`);
      }
      await withBus(cli, options, (bus) => print(cli, bus, options, startAt));
    });
}

function subjectFilter(text: string): string {
  if (!isSubjectFilter(text))
    throw new InvalidArgumentError('It must be a NATS subject, such as nemuri.state.>');
  return text;
}

/** @throws CliError (2) when the text is neither a duration, nor a time, nor `all`. */
export function startAtOf(since: string | undefined, nowMs: number): StartAt {
  if (since === undefined) return 'new';
  if (since === 'all') return 'beginning';
  const agoMs = durationOf(since);
  if (agoMs !== undefined) return { sinceMs: Math.max(0, nowMs - agoMs) };
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(since) ? Date.parse(since) : Number.NaN;
  if (Number.isFinite(timeMs) && timeMs >= 0) return { sinceMs: timeMs };
  throw new CliError(
    2,
    `--since must be such as 30s, 10m, 2h, 7d, 2026-01-31T06:00:00Z or all (got "${since}")`,
  );
}

async function print(cli: Cli, bus: Bus, options: EventsOptions, startAt: StartAt): Promise<void> {
  const { filter, json, count = Number.POSITIVE_INFINITY } = options;
  let printed = 0;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
    cli.signal.addEventListener('abort', () => resolve());
    if (cli.signal.aborted) resolve();
  });
  const onEvent = (event: RecordedEvent) => {
    if (printed >= count || (filter !== undefined && !covers(filter, event.subject))) return;
    printed += 1;
    cli.out(json ? JSON.stringify(asJson(event)) : lineOf(event));
    if (printed >= count) finish();
  };
  const subscriptions = await Promise.all(
    streamsFor(filter).map((part) =>
      bus.subscribe({
        ...part,
        startAt,
        onEvent,
        onMalformed: ({ subject, sequence, problem }) =>
          cli.err(oneLine(`nemuri: skipped a malformed event: ${subject} ${sequence}: ${problem}`)),
      }),
    ),
  );
  await finished;
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
}

function asJson({ timeMs, ...event }: RecordedEvent): object {
  return { time: new Date(timeMs).toISOString(), ...event };
}

/** `<time> <stream>:<sequence> <type> key=value …`, bounded. */
export function lineOf(event: RecordedEvent): string {
  const time = new Date(event.timeMs).toISOString();
  const data = event.type === 'FleetConfigured' ? configured(event.data) : fieldsOf(event.data);
  const line = oneLine(`${time} ${event.stream}:${event.sequence} ${event.type} ${data}`);
  return line.length <= maxLineChars ? line : `${line.slice(0, maxLineChars - 1)}…`;
}

function configured(data: Extract<RecordedEvent, { type: 'FleetConfigured' }>['data']): string {
  return `origin=${JSON.stringify(data.origin)} ${summaryOf(data.config)}`;
}

function fieldsOf(data: object): string {
  const fields = Object.entries(data).map(([key, value]) => {
    const bare = typeof value === 'string' && /^[\w:./-]+$/.test(value);
    return `${key}=${bare ? value : JSON.stringify(value)}`;
  });
  return fields.join(' ');
}
