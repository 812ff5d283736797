import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Linux counts processor time in these (man 5 proc: `sysconf(_SC_CLK_TCK)`, 100 on every common build). */
const ticksPerSecond = 100;
const startTimeoutMs = 10_000;

/** A process with everything that it started; by /proc. */
export function familyOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    const fields = /^\d+$/.test(entry) ? statOf(Number(entry)) : undefined;
    if (fields) parents.set(Number(entry), Number(fields[1]));
  }
  const family = [pid];
  for (const parent of family) {
    for (const [own, its] of parents) if (its === parent) family.push(own);
  }
  return family;
}

/** Processor seconds, user and system, that these processes have used since they began. */
export function cpuSecondsOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statOf(pid);
    if (fields) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

/** Resident memory of these processes together, in KiB, shared pages counted once for each. */
export function residentKiBOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const status = readProc(`/proc/${pid}/status`);
    return sum + Number(/VmRSS:\s+(\d+)/.exec(status ?? '')?.[1] ?? 0);
  }, 0);
}

/** The fields of /proc/PID/stat after the command's name: state, parent, …; undefined: it is gone. */
function statOf(pid: number): string[] | undefined {
  const stat = readProc(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Starts a program in the foreground; its output is kept for the error when it does not listen. */
export async function startListening(
  command: string,
  args: readonly string[],
  port: number,
): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said = `${said}${chunk}`.slice(-2_000);
    });
  }
  child.on('error', (error) => {
    said += error.message;
  });
  try {
    await untilListening(port);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${command} does not start: ${said}`, { cause: error });
  }
  return child;
}

async function untilListening(port: number): Promise<void> {
  const deadlineMs = Date.now() + startTimeoutMs;
  while (!(await accepts(port))) {
    if (Date.now() > deadlineMs) throw new Error(`nothing listens on port ${port}`);
    await delay(30);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Runs a program to its end. @returns its stdout. @throws Error with its stderr when it fails. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      errors += error.message;
      resolve(127);
    });
    child.once('close', (exitCode) => resolve(exitCode ?? 1));
  });
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors}`);
  return out;
}
