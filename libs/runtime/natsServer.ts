import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { accessSync, constants, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './freePort.ts';

/**
 * A nats-server of our own, with JetStream: what the demo, `nemuri up` without a bus, and the tests run on.
 * Any version from 2.9 on.
 */

/** The variable that names the binary, when it is not where one looks for it. */
const binaryVariable = 'NEMURI_NATS_SERVER';
const usualFolders = ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];

/**
 * Looks for nats-server: `NEMURI_NATS_SERVER`, then PATH, then the folders that a user's PATH often lacks.
 * @returns the path of an executable file, or undefined. A variable that names no executable is not passed over.
 */
export function findNatsServer(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env[binaryVariable];
  if (named) return isExecutable(named) ? named : undefined;
  const folders = [...(env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''), ...usualFolders];
  return folders.map((folder) => join(folder, 'nats-server')).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

export interface EnsureNatsServerOptions {
  /** Gets one line for each thing that is done to this machine. */
  readonly log: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
  readonly isRoot?: boolean;
  readonly find?: (env: NodeJS.ProcessEnv) => string | undefined;
  /** Runs a command and resolves to its exit code; 127 when there is no such command. */
  readonly run?: (command: string, args: readonly string[]) => Promise<number>;
}

/**
 * The path of nats-server; installs Debian's package when it is missing and we are root.
 * @throws Error saying what to install, when it is missing and can't be installed from here.
 */
export async function ensureNatsServer(options: EnsureNatsServerOptions): Promise<string> {
  const { log, env = process.env, find = findNatsServer, run = runQuietly } = options;
  const isRoot = options.isRoot ?? process.getuid?.() === 0;
  const present = find(env);
  if (present) return present;
  if (env[binaryVariable])
    throw new Error(`${binaryVariable} is "${env[binaryVariable]}", which is no executable file`);
  if (!isRoot || (await run('apt-get', ['--version'])) !== 0) throw new Error(missingMessage);
  log('nats-server is missing: installing it with apt-get update and apt-get install nats-server');
  await run('apt-get', ['update']);
  const code = await run('apt-get', ['install', '-y', '--no-install-recommends', 'nats-server']);
  const installed = find(env);
  if (code !== 0 || !installed) throw new Error(`apt-get ended with ${code}. ${missingMessage}`);
  // Debian starts a service of its own on port 4222, with a store that is not ours.
  if ((await run('systemctl', ['is-active', '--quiet', 'nats-server'])) === 0) {
    log('stopping the nats-server service that the package started');
    await run('systemctl', ['disable', '--now', 'nats-server']);
  }
  return installed;
}

const missingMessage =
  'nats-server 2.9 or newer is needed and was not found. Install it (Debian, Ubuntu: apt-get install nats-server; ' +
  `macOS: brew install nats-server; others: https://github.com/nats-io/nats-server/releases) or name it in ${binaryVariable}.`;

async function runQuietly(command: string, args: readonly string[]): Promise<number> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const child = spawn(command, args, { stdio: 'ignore', env });
  return new Promise((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

export interface NatsServerOptions {
  /** Where JetStream keeps its files, and our configuration file. The caller's: it is never deleted here. */
  readonly storeDir: string;
  /** 0 or left out: a free port, kept over restarts. */
  readonly port?: number;
  readonly host?: string;
  /** Path of the binary; default: `findNatsServer()`. */
  readonly binary?: string;
  readonly startTimeoutMs?: number;
  /** How long SIGTERM may take before SIGKILL. */
  readonly stopTimeoutMs?: number;
  /** The largest message. NATS' own default (1 MiB) is too small for the configuration of a large fleet. */
  readonly maxPayloadBytes?: number;
  /** Its name, which a member of a cluster keeps over restarts; default: a new one at each start. */
  readonly name?: string;
  /** Lines for the end of the configuration file: accounts, TLS, limits. */
  readonly extraConfig?: string;
}

export interface NatsServer {
  readonly port: number;
  readonly url: string;
  /** The process, undefined while it does not run. */
  readonly pid: number | undefined;
  /** Sends the signal. With SIGKILL and SIGTERM it waits for the end of the process. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again (ends it first, if it runs) on the same port and store. */
  restart(): Promise<void>;
  /** Ends it: SIGTERM, and SIGKILL after `stopTimeoutMs`. May be repeated. */
  stop(): Promise<void>;
}

/**
 * Starts nats-server with JetStream and resolves when it accepts clients with JetStream on.
 *
 * When this process dies without a word (SIGKILL), a small `sh` that waits on our end of a pipe ends the server.
 * The server is in its own process group: Ctrl-C on the terminal reaches us first, and it stays until `stop()`.
 * @throws Error with the server's last lines when it does not come up within `startTimeoutMs`.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { storeDir, host = '127.0.0.1', startTimeoutMs = 10_000, stopTimeoutMs = 5_000 } = options;
  const binary = options.binary ?? findNatsServer();
  if (!binary) throw new Error(missingMessage);
  const configPath = join(storeDir, 'nats-server.conf');
  await mkdir(storeDir, { recursive: true });
  await writeFile(configPath, configOf(options));

  let running: RunningServer | undefined;
  const begin = async (port: number) => {
    // The name tells our server from a stranger that sits on the port.
    const name = options.name ?? `nemuri-${randomUUID()}`;
    running = await launch(binary, configPath, { name, host, port, startTimeoutMs });
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!running) return;
    running.child.kill(signal);
    if (!(await within(running.exited, stopTimeoutMs))) {
      running.child.kill('SIGKILL');
      await running.exited;
    }
  };

  const port = await startOnSomePort(options.port ?? 0, host, begin);
  return {
    port,
    url: `nats://${host.includes(':') ? `[${host}]` : host}:${port}`,
    get pid() {
      return running?.hasExited() ? undefined : running?.child.pid;
    },
    async kill(signal) {
      if (signal === 'SIGKILL' || signal === 'SIGTERM') await end(signal);
      else running?.child.kill(signal);
    },
    async restart() {
      await end('SIGTERM');
      await begin(port);
    },
    stop: () => end('SIGTERM'),
  };
}

function configOf({
  storeDir,
  maxPayloadBytes = 4 * 1024 * 1024,
  extraConfig = '',
}: NatsServerOptions): string {
  return [
    `jetstream { store_dir: ${JSON.stringify(storeDir)} }`,
    `max_payload: ${maxPayloadBytes}`,
    extraConfig,
    '',
  ].join('\n');
}

/** Between finding a free port and using it, another process may take it: a few ports are tried. */
async function startOnSomePort(
  wanted: number,
  host: string,
  begin: (port: number) => Promise<void>,
): Promise<number> {
  const tries = wanted === 0 ? 5 : 1;
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted === 0 ? await freePort(host) : wanted;
    try {
      await begin(port);
      return port;
    } catch (error) {
      if (attempt >= tries || !/address already in use/.test(String(error))) throw error;
    }
  }
}

interface RunningServer {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  hasExited(): boolean;
}

interface Place {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly startTimeoutMs: number;
}

async function launch(
  binary: string,
  configPath: string,
  { name, host, port, startTimeoutMs }: Place,
): Promise<RunningServer> {
  const args = ['--config', configPath, '--addr', host, '--port', String(port), '--name', name];
  const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const lastLines = keepLastLines(child);
  let ended = false;
  const exited = new Promise<void>((resolve) => {
    const finish = () => {
      ended = true;
      resolve();
    };
    child.once('error', (error) => {
      lastLines.push(error.message);
      finish();
    });
    child.once('close', finish);
  });
  endWithUs(child, exited);

  const deadlineMs = performance.now() + startTimeoutMs;
  while (!(await answersAs(name, host, port))) {
    if (ended || performance.now() > deadlineMs) {
      child.kill('SIGKILL');
      throw new Error(`nats-server did not start on ${host}:${port}:\n${lastLines.join('\n')}`);
    }
    await delay(20);
  }
  return { child, exited, hasExited: () => ended };
}

/** A pipe nobody reads would block the server in the end, so its log is always drained. */
function keepLastLines(child: ChildProcess): string[] {
  const lines: string[] = [];
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    lines.push(...text.split('\n').filter((line) => line !== ''));
    lines.splice(0, Math.max(0, lines.length - 20));
  });
  return lines;
}

/** The pipe closes when this process ends, however it ends; the shell then ends the server. */
function endWithUs(child: ChildProcess, exited: Promise<void>): void {
  if (child.pid === undefined) return;
  const script = 'read -r _; kill -TERM "$1"';
  const watcher = spawn('/bin/sh', ['-c', script, 'sh', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watcher.on('error', () => undefined);
  watcher.stdin?.on('error', () => undefined);
  exited.then(() => {
    watcher.kill('SIGKILL');
  });
}

/** nats-server greets with `INFO {…}` once it serves clients; JetStream is up by then, if it is on. */
function answersAs(name: string, host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let greeting = '';
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setEncoding('utf8');
    socket.setTimeout(1_000, () => finish(false));
    socket.on('error', () => finish(false));
    socket.on('close', () => resolve(false));
    socket.on('data', (text: string) => {
      greeting += text;
      if (!greeting.includes('\r\n')) return;
      finish(greeting.includes(`"server_name":"${name}"`) && greeting.includes('"jetstream":true'));
    });
  });
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const inTime = promise.then(() => true);
  const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const result = await Promise.race([inTime, late]);
  timer.abort();
  return result;
}
