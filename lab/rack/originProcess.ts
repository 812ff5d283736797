import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { LoadReport, WorkloadSettings } from './workload.ts';

export interface OriginSettings extends WorkloadSettings {
  readonly host: string;
  readonly port: number;
}

/** What an origin process tells the rack. */
export type OriginMessage =
  | { readonly kind: 'listening' }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'load'; readonly load: LoadReport }
  /** It was told to stop, with so many requests that are not answered. */
  | { readonly kind: 'stopping'; readonly inFlight: number };

export interface OriginListener {
  onListening(): void;
  onLoad(load: LoadReport): void;
  onStopping(inFlight: number): void;
  /** The process is gone, for whatever reason. */
  onExit(): void;
}

export interface OriginProcess {
  readonly pid: number | undefined;
  listen(): void;
  /** SIGTERM: what an operating system sends first. */
  terminate(): void;
  /** SIGKILL: connections die. */
  kill(): void;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
}

/**
 * Starts the process of one origin, deaf until `listen()`.
 * @param script `origin.js` (or `origin.ts`: then with the loader of this process, as in development).
 */
export function startOrigin(
  script: string,
  settings: OriginSettings,
  listener: OriginListener,
): OriginProcess {
  const child: ChildProcess = fork(script, [JSON.stringify(settings)], {
    execArgv: script.endsWith('.ts') ? process.execArgv : [],
    // Nothing of this process's environment, so no secret, reaches an origin.
    env: { PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    once(child, 'exit').then(
      () => resolve(),
      () => resolve(),
    );
  });
  void exited.then(() => listener.onExit());
  child.on('message', (message) => {
    const told = message as OriginMessage;
    if (told.kind === 'listening') listener.onListening();
    if (told.kind === 'load') listener.onLoad(told.load);
    if (told.kind === 'stopping') listener.onStopping(told.inFlight);
  });
  return {
    pid: child.pid,
    listen() {
      if (child.connected) child.send({ kind: 'listen' }, () => undefined);
    },
    terminate() {
      child.kill('SIGTERM');
    },
    kill() {
      child.kill('SIGKILL');
    },
    exited,
  };
}
