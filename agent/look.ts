import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KernelFolders } from './vitals.ts';

const established = '01';

/**
 * Counts the established TCP connections to a local port, from the kernel's tables (`/proc/net/tcp`, `tcp6`).
 * @returns undefined when they can't be read: that is not none.
 */
export async function connectionsOn(port: number, { proc }: KernelFolders): Promise<number | undefined> {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let connections = 0;
  let readable = false;
  for (const table of ['net/tcp', 'net/tcp6']) {
    const lines = await readFile(join(proc, table), 'utf8').catch(() => undefined);
    if (lines === undefined) continue;
    readable = true;
    for (const line of lines.split('\n').slice(1)) {
      const [, local = '', , state] = line.trim().split(/\s+/);
      if (state === established && local.endsWith(wanted)) connections += 1;
    }
  }
  return readable ? connections : undefined;
}

/**
 * Counts the sessions of users, as systemd-logind keeps them; those of services and of the display manager are none.
 * @returns undefined when they can't be read.
 */
export async function usersLoggedIn({ sessions }: KernelFolders): Promise<number | undefined> {
  // `1.ref` beside session `1` is a pipe: to read it would block.
  const names = await readdir(sessions, { withFileTypes: true }).catch(() => undefined);
  if (!names) return undefined;
  let users = 0;
  for (const entry of names) {
    if (!entry.isFile()) continue;
    const session = await readFile(join(sessions, entry.name), 'utf8').catch(() => '');
    if (/^CLASS=user(-early|-light|-incomplete)?$/m.test(session) && !/^STATE=closing$/m.test(session))
      users += 1;
  }
  return users;
}
