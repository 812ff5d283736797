import { type Command, InvalidArgumentError } from 'commander';
import type { Bus, StartAt } from '../../libs/bus/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { type BusOptions, positiveNumber, withBus, withBusOptions } from '../busOptions.ts';
import { type Cli, CliError, oneLine } from '../cli.ts';
import { summaryOf } from '../configFile.ts';
import { conditionOf, type EventCondition, fulfils, streamsOf } from '../eventFilter.ts';
import type { StreamFilter } from '../subjectFilter.ts';
import { timeOf } from '../when.ts';

interface EventsOptions extends BusOptions {
  readonly filter?: readonly EventCondition[];
  readonly since?: string;
  readonly until?: string;
  readonly count?: number;
  readonly json?: boolean;
}

const maxLineChars = 400;
/** Node fires a longer timer at once. */
const maxTimerMs = 2_147_483_647;

const examples = `
A --filter is a NATS subject, a type of event, or key=value with key type, server, pool or any field of the data; of
several, all must hold. A time is that of the bus: when it stored the event.

Examples:
  nemuri events
  nemuri events --since all --filter server=web-1
  nemuri events --since 3h --until 2h --filter type=WakeRequested --filter pool=web
  nemuri events --since 1d --filter proxy=proxy-0 --json
  nemuri events --since 10m --filter 'nemuri.decision.*' --json
  nemuri events --filter 'nemuri.load.>'`;

/** `nemuri events`: subscribes, and prints each event as a line until interrupted, or until a time. */
export function registerEvents(program: Command, cli: Cli): void {
  const command = program
    .command('events')
    .description('subscribe: each event as a line, until interrupted')
    .option(
      '--filter <what>',
      'NATS subject with * and >, type of event, or key=value; may be repeated; default: the whole history, no telemetry',
      addFilter,
    )
    .option('--since <when>', 'begin in the past: 30s, 10m, 2h, 7d, an ISO 8601 time, or all')
    .option(
      '--until <when>',
      'end there: as --since, or now; without --since the beginning is the first event kept',
    )
    .option('--count <events>', 'end after so many events', positiveNumber)
    .option('--json', 'each event as one JSON object a line');
  withBusOptions(command)
    .addHelpText('after', examples)
    .action(async (options: EventsOptions) => {
      const { filter = [], since, until } = options;
      const nowMs = cli.nowMs();
      const startAt = startAtOf(since ?? (until === undefined ? undefined : 'all'), nowMs);
      const untilMs = until === undefined ? undefined : timeOf('--until', until, nowMs);
      const parts = streamsOf(filter);
      if (parts.length === 0) {
        const subjects = filter.flatMap((one) => ('subject' in one ? [one.subject] : []));
        throw new CliError(2, `no event has a subject that matches --filter ${subjects.join(' ')}`);
      }
      await withBus(cli, options, (bus) => print(cli, bus, options, { parts, startAt, untilMs }));
    });
}

function addFilter(text: string, before: readonly EventCondition[] = []): EventCondition[] {
  const condition = conditionOf(text);
  if (!condition)
    throw new InvalidArgumentError(
      'It must be a NATS subject such as nemuri.state.>, a type of event, or key=value.',
    );
  return [...before, condition];
}

/** @throws CliError (2) when the text is neither a duration, nor a time, nor `all`. */
export function startAtOf(since: string | undefined, nowMs: number): StartAt {
  if (since === undefined) return 'new';
  return since === 'all' ? 'beginning' : { sinceMs: timeOf('--since', since, nowMs, ' or all') };
}

interface Range {
  readonly parts: readonly StreamFilter[];
  readonly startAt: StartAt;
  /** Epoch ms of the end; left out: none. */
  readonly untilMs: number | undefined;
}

async function print(cli: Cli, bus: Bus, options: EventsOptions, range: Range): Promise<void> {
  const { filter = [], json, count = Number.POSITIVE_INFINITY } = options;
  const { parts, startAt, untilMs = Number.POSITIVE_INFINITY } = range;
  let printed = 0;
  let isFinished = false;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = () => {
      isFinished = true;
      resolve();
    };
    cli.signal.addEventListener('abort', finish);
    if (cli.signal.aborted) finish();
  });
  const onEvent = (event: RecordedEvent) => {
    if (printed >= count || event.storedMs > untilMs || !fulfils(event, filter)) return;
    printed += 1;
    cli.out(json ? JSON.stringify(asJson(event)) : lineOf(event));
    if (printed >= count) finish();
  };
  if (untilMs <= cli.nowMs()) {
    for await (const event of storedEvents(bus, range, untilMs)) {
      if (isFinished) return;
      onEvent(event);
    }
    return;
  }
  const timer = Number.isFinite(untilMs)
    ? setTimeout(finish, Math.min(untilMs - cli.nowMs(), maxTimerMs))
    : undefined;
  const subscriptions = await Promise.all(
    parts.map((part) =>
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
  clearTimeout(timer);
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
}

/** What the streams hold from the range's beginning to its end, in the order in which it was stored. */
async function* storedEvents(
  bus: Bus,
  { parts, startAt }: Range,
  untilMs: number,
): AsyncGenerator<RecordedEvent> {
  const sources = await Promise.all(
    parts.map(async ({ stream, filter }) => {
      const isTime = typeof startAt === 'object' && 'sinceMs' in startAt;
      const first = isTime ? (await bus.sequenceAt(stream, startAt.sinceMs - 1)) + 1 : 1;
      const events = bus.history(stream, first, filter)[Symbol.asyncIterator]();
      return { events, next: await events.next() };
    }),
  );
  try {
    while (true) {
      const open = sources.filter(({ next }) => !next.done && next.value.storedMs <= untilMs);
      const [source] = open.sort((a, b) => a.next.value.storedMs - b.next.value.storedMs);
      if (!source) return;
      yield source.next.value;
      source.next = await source.events.next();
    }
  } finally {
    await Promise.all(sources.map(({ events }) => events.return?.()));
  }
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
