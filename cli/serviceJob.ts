import type { Serializable } from 'node:child_process';
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { type Cli, CliError, oneLine } from './cli.ts';

/**
 * Runs a job in a process of the power service, the only one that reads secrets of BMCs.
 * @param script below `services/power`; it gets the job as its first message, and tells `{ kind: 'done' }` at its end.
 * @throws CliError (2) when it ends before it is done.
 */
export async function runPowerJob<Message extends { readonly kind: string }>(
  cli: Cli,
  script: string,
  job: object,
  onMessage: (message: Message) => void,
): Promise<void> {
  const child = fork(join(cli.distDir, 'services', 'power', script), {
    env: { ...cli.env },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true,
  });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-2_000);
  });
  const onAbort = () => child.kill('SIGTERM');
  cli.signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      let done = false;
      child.on('message', (message: Message) => {
        done ||= message.kind === 'done';
        onMessage(message);
      });
      child.once('error', (error) => reject(new CliError(2, `the job can't be run: ${error.message}`)));
      child.once('close', () => {
        if (done) resolve();
        else reject(new CliError(2, `the job ended before its end: ${oneLine(said)}`));
      });
      child.send(job as Serializable);
    });
  } finally {
    cli.signal.removeEventListener('abort', onAbort);
  }
}
