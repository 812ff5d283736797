import { spawn } from 'node:child_process';
import { DriverError } from './driver.ts';
import { codeOf } from './secretKeeper.ts';

export interface ChildOptions {
  readonly serverName: string;
  /** All of the child's environment besides PATH and the language. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where programs are looked for; left out: our own PATH. */
  readonly searchPath: string | undefined;
  readonly timeoutMs: number;
  /** A command: it does not wait behind readings. */
  readonly urgent?: boolean;
  readonly signal: AbortSignal;
}

export interface ChildEnd {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Of stdout and of stderr; no driver reads more than a line or two. */
const maxOutputBytes = 64 * 1024;
/** Readings at once, of all servers: each is a process. Commands are few: one a server, bounded by the domain. */
const maxReadings = 32;
const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

let readings = 0;
const waiting: (() => void)[] = [];

/** Waits for a place among the readings; rejects with the signal's reason. */
async function takePlace(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (readings < maxReadings) {
    readings += 1;
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const take = () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    const onAbort = () => {
      waiting.splice(waiting.indexOf(take), 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    waiting.push(take);
  });
}

/** Hands the place to the one who waits longest. */
function leavePlace(): void {
  const next = waiting.shift();
  if (next) next();
  else readings -= 1;
}

/**
 * Runs one program to its end, without a shell: bounded in time and output, in a minimal environment, its messages
 * in English. When it must end early it is killed with all of its children. Rejects with the signal's reason, or
 * with DriverError: `unsupported` (not installed), `unreachable` (time-out), `protocol` (too much output, crash).
 */
export async function runChild(command: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  if (options.urgent) return run(command, options);
  await takePlace(options.signal);
  try {
    return await run(command, options);
  } finally {
    leavePlace();
  }
}

function run(command: readonly string[], options: ChildOptions): Promise<ChildEnd> {
  const { serverName, timeoutMs, signal } = options;
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: false,
      // The leader of a group of its own, so that its children can be killed too.
      detached: true,
      env: {
        PATH: options.searchPath ?? process.env.PATH ?? usualPath,
        LC_ALL: 'C',
        ...options.environment,
      },
    });
    const output = { stdout: '', stderr: '' };
    let open = true;

    const settle = (act: () => void) => {
      if (!open) return;
      open = false;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (error: unknown) => settle(() => reject(error));
    const kill = (error: unknown) => {
      if (!open) return;
      killGroup(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
      fail(error);
    };
    const driverError = (kind: DriverError['kind'], text: string) =>
      new DriverError(kind, `${serverName}: ${program} ${text}`);
    const onAbort = () => kill(signal.reason);
    const timer = setTimeout(
      () => kill(driverError('unreachable', `did not end within ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        output[stream] += chunk;
        if (output[stream].length > maxOutputBytes) kill(driverError('protocol', 'says more than 64 KiB'));
      });
    }
    child.once('error', (error) =>
      fail(driverError('unsupported', `can't be run (${codeOf(error)}): is it installed?`)),
    );
    child.once('close', (exitCode, killedBy) => {
      if (exitCode === null) fail(driverError('protocol', `was ended by ${killedBy}`));
      else settle(() => resolve({ exitCode, ...output }));
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
