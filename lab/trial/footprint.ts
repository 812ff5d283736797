import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Stack } from '../../libs/runtime/stack.ts';
import { serviceNames } from '../../libs/runtime/stack.ts';
import { cpuSecondsOf, familyOf } from '../bench/processes.ts';
import type { ProcessName } from './chapter.ts';

export const processNames: readonly ProcessName[] = [...serviceNames, 'nats'];

type Figures = Record<ProcessName, number>;

/** The processes of one control plane, by /proc. */
export interface ControlPlane {
  /** Looks at the processes now: their time so far counts, also when they end later. */
  look(): void;
  /** Processor seconds of each since the last call. */
  takeCpuSeconds(): Figures;
  /** Resident memory and open files of each, with what it started. */
  holdings(): { readonly residentKiB: Figures; readonly handles: Figures };
}

export function watchControlPlane(stack: Stack): ControlPlane {
  const seen = new Map<number, number>();
  let used = zeros();
  const pidsOf = (name: ProcessName): number[] => {
    const pid = name === 'nats' ? stack.nats?.pid : stack.services[name].pid;
    if (pid === undefined) return [];
    return name === 'proxy' ? familyOf(pid) : [pid];
  };
  const look = () => {
    for (const name of processNames) {
      for (const pid of pidsOf(name)) {
        const seconds = cpuSecondsOf([pid]);
        // A process seen for the first time was started since: all of its time is new.
        used[name] += Math.max(0, seconds - (seen.get(pid) ?? 0));
        seen.set(pid, Math.max(seconds, seen.get(pid) ?? 0));
      }
    }
  };
  return {
    look,
    takeCpuSeconds() {
      look();
      const taken = used;
      used = zeros();
      return taken;
    },
    holdings() {
      const residentKiB = zeros();
      const handles = zeros();
      for (const name of processNames) {
        const pids = pidsOf(name);
        residentKiB[name] = pids.reduce((sum, pid) => sum + proportionalKiBOf(pid), 0);
        handles[name] = pids.reduce((sum, pid) => sum + openFilesOf(pid), 0);
      }
      return { residentKiB, handles };
    },
  };
}

function zeros(): Figures {
  return { proxy: 0, planner: 0, power: 0, health: 0, nats: 0 };
}

/** Resident memory in KiB; a page that several processes share counts for each by its part (man 5 proc: Pss). */
function proportionalKiBOf(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function openFilesOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** Bytes of one stream's files in the store of a nats-server. */
export function streamBytes(storeDir: string, stream: string): number {
  return bytesBelow(join(storeDir, 'jetstream', '$G', 'streams', stream));
}

function bytesBelow(folder: string): number {
  let bytes = 0;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      bytes += entry.isDirectory() ? bytesBelow(path) : statSync(path).size;
    }
  } catch {
    // A block that was just dropped: what is left is counted next time.
  }
  return bytes;
}
