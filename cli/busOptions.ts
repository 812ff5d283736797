import { type Command, InvalidArgumentError } from 'commander';
import type { Bus } from '../libs/bus/mod.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import { type Cli, CliError, oneLine } from './cli.ts';

export interface BusOptions {
  readonly nats?: string;
  /** Seconds. */
  readonly timeout: number;
}

const defaultNatsUrl = 'nats://127.0.0.1:4222';

/** Adds `--nats` and `--timeout` to a command that talks to the bus. */
export function withBusOptions(command: Command): Command {
  return command
    .option(
      '--nats <url>',
      `NATS server, or several parted by commas (env NEMURI_NATS_URL; default ${defaultNatsUrl})`,
    )
    .option('--timeout <seconds>', 'how long the bus may take to answer', positiveNumber, 5);
}

/** @throws InvalidArgumentError unless the text is a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1_000_000)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/**
 * Does the work with an open bus and closes it after.
 * @throws CliError (2) when the bus can't be reached within `--timeout`.
 */
export async function withBus(
  cli: Cli,
  options: BusOptions,
  work: (bus: Bus) => Promise<void>,
): Promise<void> {
  const servers = serversOf(cli, options);
  const timeoutMs = options.timeout * 1_000;
  let problem: string | undefined;
  const refuse = (why: string, cause?: unknown) =>
    new CliError(2, `no bus at ${redacted(servers)}: ${why}`, { cause });
  const bus = await cli
    .connect({
      servers,
      firstConnectTimeoutMs: timeoutMs,
      onProblem: (error) => {
        problem = messageOf(error);
        if (cli.env.NEMURI_LOG_LEVEL === 'debug') cli.err(oneLine(`nemuri: ${problem}`));
      },
    })
    .catch((error) => {
      throw refuse(messageOf(error), error);
    });
  if (bus.lostSinceMs !== undefined) {
    await bus.close();
    throw refuse(problem ?? `no answer within ${options.timeout} s`);
  }
  try {
    await work(bus);
  } finally {
    await bus.close();
  }
}

/** The NATS URLs that a command talks to: of `--nats`, else of the environment, else the usual one. */
export function serversOf(cli: Cli, { nats }: BusOptions): string[] {
  return (nats ?? cli.env.NEMURI_NATS_URL ?? defaultNatsUrl).split(',').map((url) => url.trim());
}

/** URLs without the user names, passwords and tokens that NATS URLs may carry. */
export function redacted(servers: readonly string[]): string {
  return servers.map((url) => url.replace(/^([a-z]+:\/\/)?[^/]*@/i, '$1(hidden)@')).join(', ');
}

/** @throws Error when the promise is not settled in time, or the user wants an end. */
export async function withinTime<T>(promise: Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
  let stop: () => void = () => undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs);
    const onAbort = () => reject(new Error('interrupted'));
    signal.addEventListener('abort', onAbort);
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    stop();
  }
}
