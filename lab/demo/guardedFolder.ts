import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A temporary folder that is gone with its process, however that ends. */
export interface GuardedFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * Makes a temporary folder. Were this process killed without a word, the janitor removes the folder after it.
 * @param name what it is for, part of the folder's name; @param distDir the folder with the built `lab/`.
 */
export async function makeGuardedFolder(name: string, distDir: string): Promise<GuardedFolder> {
  const path = await mkdtemp(join(tmpdir(), `nemuri-${name}-`));
  const janitor = fork(join(distDir, 'lab/demo/janitor.js'), [path], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
  });
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
      janitor.kill('SIGKILL');
    },
  };
}
