import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the kernel says what it knows; tests lay out their own. */
export interface KernelFolders {
  readonly proc: string;
  readonly powercap: string;
  /** systemd-logind's sessions, a file each. */
  readonly sessions: string;
}

export const kernelFolders: KernelFolders = {
  proc: '/proc',
  powercap: '/sys/class/powercap',
  sessions: '/run/systemd/sessions',
};

/** What a machine says of its state; what can't be read is left out. */
export interface Vitals {
  readonly uptimeMs?: number;
  readonly load1?: number;
  readonly memoryTotalBytes?: number;
  readonly memoryAvailableBytes?: number;
  readonly powerWatts?: number;
}

/** The kernel's random id of this boot. @throws Error when it can't be read: no Linux. */
export async function readBootId({ proc }: KernelFolders): Promise<string> {
  return (await readFile(join(proc, 'sys/kernel/random/boot_id'), 'utf8')).trim();
}

/** Reads the vitals again and again; watts are those between two calls. */
export function createVitalsReader(folders: KernelFolders, monotonicMs: () => number): () => Promise<Vitals> {
  let before: { readonly atMs: number; readonly energy: ReadonlyMap<string, Energy> } | undefined;
  return async () => {
    const [uptime, load, memory, energy] = await Promise.all([
      text(join(folders.proc, 'uptime')),
      text(join(folders.proc, 'loadavg')),
      text(join(folders.proc, 'meminfo')),
      readEnergy(folders.powercap),
    ]);
    const now = { atMs: monotonicMs(), energy };
    const powerWatts = before && wattsBetween(before, now);
    before = now;
    return {
      ...number('uptimeMs', /^([\d.]+)/, uptime, 1_000),
      ...number('load1', /^([\d.]+)/, load, 1),
      ...number('memoryTotalBytes', /^MemTotal:\s+(\d+) kB/m, memory, 1_024),
      ...number('memoryAvailableBytes', /^MemAvailable:\s+(\d+) kB/m, memory, 1_024),
      ...(powerWatts === undefined ? {} : { powerWatts }),
    };
  };
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function number(key: keyof Vitals, pattern: RegExp, from: string, factor: number): Vitals {
  const value = Number(pattern.exec(from)?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? { [key]: value * factor } : {};
}

interface Energy {
  readonly microjoules: number;
  /** The counter starts at 0 again past this. */
  readonly rangeMicrojoules: number;
}

/** RAPL's counters of whole packages, and of the memory beside them: the zones that do not contain one another. */
async function readEnergy(folder: string): Promise<ReadonlyMap<string, Energy>> {
  const zones = (await readdir(folder).catch(() => [])).filter((name) =>
    /^intel-rapl:\d+(:\d+)?$/.test(name),
  );
  const energy = new Map<string, Energy>();
  for (const zone of zones) {
    const isPackage = /^intel-rapl:\d+$/.test(zone);
    if (!isPackage && (await text(join(folder, zone, 'name'))).trim() !== 'dram') continue;
    const microjoules = (await text(join(folder, zone, 'energy_uj'))).trim();
    const range = Number(await text(join(folder, zone, 'max_energy_range_uj')));
    // Only root may read it since CVE-2020-8694.
    if (/^\d+$/.test(microjoules)) {
      energy.set(zone, { microjoules: Number(microjoules), rangeMicrojoules: range });
    }
  }
  return energy;
}

function wattsBetween(
  before: { readonly atMs: number; readonly energy: ReadonlyMap<string, Energy> },
  now: { readonly atMs: number; readonly energy: ReadonlyMap<string, Energy> },
): number | undefined {
  const elapsedMs = now.atMs - before.atMs;
  if (elapsedMs <= 0 || now.energy.size === 0) return undefined;
  let microjoules = 0;
  for (const [zone, { microjoules: end, rangeMicrojoules }] of now.energy) {
    const start = before.energy.get(zone)?.microjoules;
    if (start === undefined) return undefined;
    microjoules += end >= start ? end - start : end - start + rangeMicrojoules;
  }
  return microjoules / 1_000 / elapsedMs;
}
