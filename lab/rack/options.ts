import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { EnergyModel } from '../../libs/events/mod.ts';
import type { MachineTimings } from './machine.ts';
import { defaultModel, type MachineModel, type ModelName, machineModels } from './models.ts';
import { seededRandom, spreadFactor } from './random.ts';
import type { BmcQuirks } from './resources.ts';

export interface ServerOptions {
  /** Default `server-1`, `server-2`, … */
  readonly name?: string;
  readonly model?: ModelName;
  /** Slots that work at once. Default 4. */
  readonly workers?: number;
  /** Mean time of one answer. Default 20. */
  readonly serviceTimeMs?: number;
  /** What it sustains within its latency objective. Default: 80 % of workers / service time. */
  readonly capacityRps?: number;
  readonly initialPower?: 'on' | 'off';
  readonly quirks?: Partial<BmcQuirks>;
}

/** Times are those of the real machine; on the clock they are divided by `timeScale`. */
export interface RackOptions {
  /** How many, or which. */
  readonly servers: number | readonly ServerOptions[];
  /** Settings of every server that does not set them itself. */
  readonly defaults?: Omit<ServerOptions, 'name'>;
  readonly seed?: number;
  /** Address to bind. Default 127.0.0.1. */
  readonly host?: string;
  /** The host in the URLs that others use. Default: `host`. */
  readonly advertiseHost?: string;
  /** BMC i at `basePort + 2i`, its origin one above; left out: free ports. */
  readonly basePort?: number;
  /** From Reset On to the origin's first answer, before the spread. Default 260,000 (AutoScale testbed). */
  readonly setupTimeMs?: number;
  /** Share by which set-up times differ between servers, by seed. Default 0.15. */
  readonly setupSpread?: number;
  /** From Reset On until the power state reads On. Default 5,000. */
  readonly poweringOnMs?: number;
  /** A graceful shutdown takes this long. Default 30,000. */
  readonly shutdownMs?: number;
  readonly timeScale?: number;
  /**
   * The process of a server's next life is started while it is off, deaf: for set-ups shorter than a process takes to
   * start on a busy machine. Default: it is started with the set-up.
   */
  readonly startAhead?: boolean;
  readonly username?: string;
  /** Default: drawn at random. */
  readonly password?: string;
  readonly maxSessions?: number;
  readonly sessionTimeoutMs?: number;
  /** Requests that wait in front of an origin. Default 10,000. */
  readonly maxQueue?: number;
  /** Where `ca.pem` is written. Default: a directory of its own that `stop()` removes. */
  readonly directory?: string;
  /** More names or addresses for the certificate. */
  readonly hostNames?: readonly string[];
  /** The origin's entry. Default `dist/lab/rack/origin.js` under the working directory. */
  readonly originScript?: string;
}

/** One server as it will run: every default filled in, times on the rack's clock. */
export interface ServerSpec {
  readonly name: string;
  readonly uuid: string;
  readonly machineModel: MachineModel;
  readonly workers: number;
  readonly serviceTimeMs: number;
  readonly maxQueue: number;
  readonly capacityRps: number;
  readonly initialPower: 'on' | 'off';
  readonly quirks: BmcQuirks;
  readonly timings: MachineTimings;
  /** What a config should say of it; `setupTimeMs` on the rack's clock. */
  readonly energy: EnergyModel;
  readonly seed: number;
}

const plainQuirks: BmcQuirks = {
  allowableValues: 'inline',
  meter: 'both',
  transitionStates: true,
  sameState: 'accept',
};
const latencyMargin = 0.8;

function uuidOf(random: () => number): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20),
  ].join('-');
}

function specOf(options: RackOptions, own: ServerOptions, index: number, random: () => number): ServerSpec {
  const server = { ...options.defaults, ...own };
  const model = machineModels[server.model ?? defaultModel];
  const workers = server.workers ?? 4;
  const serviceTimeMs = server.serviceTimeMs ?? 20;
  const timeScale = options.timeScale ?? 1;
  const factor = spreadFactor(random, options.setupSpread ?? 0.15);
  const setupTimeMs = Math.max(1, Math.round(((options.setupTimeMs ?? 260_000) * factor) / timeScale));
  return {
    name: server.name ?? `server-${index + 1}`,
    uuid: uuidOf(random),
    machineModel: model,
    workers,
    serviceTimeMs,
    maxQueue: options.maxQueue ?? 10_000,
    capacityRps: server.capacityRps ?? (latencyMargin * workers * 1_000) / serviceTimeMs,
    initialPower: server.initialPower ?? 'on',
    quirks: { ...plainQuirks, ...options.defaults?.quirks, ...own.quirks },
    timings: {
      setupTimeMs,
      poweringOnMs: (options.poweringOnMs ?? 5_000) / timeScale,
      shutdownMs: (options.shutdownMs ?? 30_000) / timeScale,
    },
    energy: {
      offWatts: model.offWatts,
      idleWatts: model.idleWatts,
      busyWatts: model.busyWatts,
      setupWatts: model.setupWatts,
      setupTimeMs,
    },
    seed: Math.floor(random() * 2 ** 32),
  };
}

/**
 * Fills in what the options leave out. The same seed gives the same servers.
 * @throws Error on a rack without servers, or with a name twice.
 */
export function serverSpecs(options: RackOptions): readonly ServerSpec[] {
  const random = seededRandom(options.seed ?? 1);
  const servers =
    typeof options.servers === 'number'
      ? Array.from({ length: options.servers }, (): ServerOptions => ({}))
      : options.servers;
  const specs = servers.map((server, index) => specOf(options, server, index, random));
  const names = new Set(specs.map(({ name }) => name));
  if (specs.length === 0) throw new Error('a rack needs at least one server');
  if (names.size < specs.length) throw new Error('two servers of the rack have the same name');
  return specs;
}

export const defaultUsername = 'admin';

export function randomPassword(): string {
  return randomBytes(12).toString('base64url');
}

/** Where the built origin stands, seen from the project's folder. */
export function builtOriginScript(): string {
  return path.resolve('dist/lab/rack/origin.js');
}
