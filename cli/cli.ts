import type { Bus, BusFacts, InspectOptions } from '../libs/bus/mod.ts';

/** What a command has of the world around it; tests pass their own. */
export interface Cli {
  /** Writes a line to stdout: what was asked for. */
  out(line: string): void;
  /** Writes a line to stderr: what went wrong. */
  err(line: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder that holds the built `services/`. */
  readonly distDir: string;
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  /** Aborted when the user wants an end (SIGINT, SIGTERM). */
  readonly signal: AbortSignal;
  /** Opens the bus at these NATS URLs. */
  connect(options: ConnectOptions): Promise<Bus>;
  /** Looks at the bus itself, for `nemuri doctor`; left out: it can't be looked at. */
  readonly inspect?: (options: InspectOptions) => Promise<BusFacts>;
  /** The terminal behind stdout; left out: stdout is a file or a pipe. */
  readonly terminal?: Terminal;
  /** Asks the user and resolves with the answer, without line break; left out: nobody is there to be asked. */
  readonly ask?: (question: string) => Promise<string>;
}

/** A screen that can be drawn on. Sizes are those of now, in characters. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Writes as it is, control sequences included. */
  write(text: string): void;
}

export interface ConnectOptions {
  readonly servers: readonly string[];
  /** After that the bus is handed out although it is lost; it goes on trying. */
  readonly firstConnectTimeoutMs: number;
  /** What is wrong while it connects or after, and mends itself. */
  readonly onProblem: (problem: Error) => void;
}

/** Ends a command with one line on stderr. 1: the answer is no; 2: wrong usage, or the bus can't be reached. */
export class CliError extends Error {
  readonly exitCode: 1 | 2;
  constructor(exitCode: 1 | 2, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** Text from elsewhere, fit for one line of a terminal: control characters and line breaks are shown as `·`. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, '·');
}
