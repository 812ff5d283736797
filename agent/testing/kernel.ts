import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { KernelFolders } from '../vitals.ts';

/** What a kernel would say, laid out in a folder. */
export interface FakeKernel extends KernelFolders {
  readonly root: string;
  write(path: string, text: string): Promise<void>;
  /** Established connections to local ports; each is a pair of local and remote port. */
  connections(...ports: readonly (readonly [number, number])[]): Promise<void>;
  close(): Promise<void>;
}

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n';
const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');

export async function createKernel(): Promise<FakeKernel> {
  const root = await mkdtemp(join(tmpdir(), 'nemuri-kernel-'));
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await write('proc/sys/kernel/random/boot_id', 'boot-1\n');
  await write('proc/uptime', '12.34 50.00\n');
  await write('proc/loadavg', '0.50 0.40 0.30 1/100 1234\n');
  await write('proc/meminfo', 'MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n');
  await write('proc/net/tcp', header);
  await mkdir(join(root, 'sessions'), { recursive: true });
  return {
    root,
    proc: join(root, 'proc'),
    powercap: join(root, 'powercap'),
    sessions: join(root, 'sessions'),
    write,
    connections: (...ports) =>
      write(
        'proc/net/tcp',
        header +
          ports
            .map(
              ([local, remote], index) =>
                `   ${index}: 0100007F:${hex(local)} 0200007F:${hex(remote)} 01 0\n`,
            )
            .join(''),
      ),
    close: () => rm(root, { recursive: true, force: true }),
  };
}
