import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a service says of itself over the channel to its parent once it has started (`runService`). */
export interface StartedMessage {
  readonly kind: 'started';
  readonly service: string;
  readonly name: string;
  readonly admin: { readonly address: string; readonly port: number };
}

export interface ProcessSpec {
  readonly name: string;
  /** A JavaScript file (or, under a TypeScript loader, a TypeScript one). */
  readonly script: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Each line of its stdout and stderr. */
  readonly onLine?: (line: string) => void;
  readonly onMessage?: (message: unknown) => void;
}

export interface SupervisedProcess {
  readonly name: string;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  /** How often it was started again after it ended by itself. */
  readonly restarts: number;
  /** What it said when it last started. */
  readonly started: StartedMessage | undefined;
  /** Resolves at its next `started` message; at once when it has said so and runs. */
  whenStarted(signal?: AbortSignal): Promise<StartedMessage>;
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL after `timeoutMs`; it is not started again. */
  stop(timeoutMs: number): Promise<void>;
}

const restartDelaysMs = [50, 200, 500, 1_000, 2_000, 5_000] as const;
/** One that ran this long has not failed at its start. */
const soundAfterMs = 10_000;

/**
 * Keeps one Node process running: started again, with growing distance, whenever it ends by itself. It shares an IPC
 * channel with us, so that it notices, and ends, when we die without a word.
 */
export function supervise(spec: ProcessSpec): SupervisedProcess {
  let child: ChildProcess | undefined;
  let started: StartedMessage | undefined;
  let restarts = 0;
  let failures = 0;
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  const waiters = new Set<(message: StartedMessage) => void>();

  const start = () => {
    const startedMs = Date.now();
    const current = fork(spec.script, [...(spec.args ?? [])], {
      env: { ...process.env, ...spec.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Ctrl-C in a terminal reaches us first: we end our children in order.
      detached: true,
    });
    child = current;
    for (const stream of [current.stdout, current.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => spec.onLine?.(line));
    }
    current.on('message', (message: StartedMessage) => {
      spec.onMessage?.(message);
      if (message.kind !== 'started') return;
      started = message;
      for (const waiter of [...waiters]) waiter(message);
    });
    current.once('error', (error) => spec.onLine?.(`${spec.name} could not be started: ${error.message}`));
    current.once('exit', (code, signal) => {
      child = undefined;
      started = undefined;
      if (stopping) return;
      failures = Date.now() - startedMs > soundAfterMs ? 0 : failures + 1;
      const delayMs = restartDelaysMs[Math.min(failures, restartDelaysMs.length) - 1] ?? restartDelaysMs[0];
      spec.onLine?.(`${spec.name} ended (${signal ?? `code ${code}`}); starting it again in ${delayMs} ms`);
      timer = setTimeout(() => {
        restarts += 1;
        start();
      }, delayMs);
    });
  };
  start();

  return {
    name: spec.name,
    get pid() {
      return child?.pid;
    },
    get restarts() {
      return restarts;
    },
    get started() {
      return started;
    },
    whenStarted(signal) {
      if (started) return Promise.resolve(started);
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiters.delete(waiter);
          reject(signal?.reason);
        };
        const waiter = (message: StartedMessage) => {
          waiters.delete(waiter);
          signal?.removeEventListener('abort', onAbort);
          resolve(message);
        };
        waiters.add(waiter);
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    kill: (signal) => void child?.kill(signal),
    async stop(timeoutMs) {
      stopping = true;
      clearTimeout(timer);
      await endProcess(child, timeoutMs);
    },
  };
}

/** Ends a child: SIGTERM, and SIGKILL after `timeoutMs`. Resolves when it is gone. */
export async function endProcess(child: ChildProcess | undefined, timeoutMs: number): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  await gone;
  clearTimeout(timer);
}
