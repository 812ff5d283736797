import { execFile } from 'node:child_process';
import { cpus, getPriority, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { findNatsServer } from '../../libs/runtime/natsServer.ts';

/** Where and with what a run was made. */
export interface Conditions {
  readonly at: string;
  readonly commit: string;
  readonly node: string;
  readonly natsServer: string;
  readonly kernel: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** Of this process and so of all: on a busy machine only a preferred one keeps its times. */
  readonly scheduling: string;
}

const run = promisify(execFile);

async function said(command: string, args: readonly string[]): Promise<string> {
  const result = await run(command, args).catch(() => undefined);
  return result?.stdout.trim() ?? 'unknown';
}

export async function conditionsNow(): Promise<Conditions> {
  const nats = findNatsServer();
  const [commit, changed, natsServer, policy] = await Promise.all([
    said('git', ['rev-parse', '--short=10', 'HEAD']),
    said('git', ['status', '--porcelain', '--untracked-files=no']),
    nats === undefined ? 'unknown' : said(nats, ['--version']),
    said('chrt', ['--pid', String(process.pid)]),
  ]);
  return {
    at: new Date().toISOString(),
    commit: changed === '' || commit === 'unknown' ? commit : `${commit} with changes`,
    node: process.version,
    natsServer: natsServer.replace(/^nats-server:\s*/, ''),
    kernel: release(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    scheduling: `${/SCHED_\w+/.exec(policy)?.[0] ?? 'unknown'}, nice ${getPriority()}`,
  };
}
