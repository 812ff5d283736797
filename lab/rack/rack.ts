import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import type { EnergyModel } from '../../libs/events/mod.ts';
import { createBmc } from './bmc.ts';
import { type BmcLogEntry, type BmcServer, createBmcServer } from './bmcServer.ts';
import { createCertificate, type RackCertificate } from './certificate.ts';
import { type BmcFault, createFaultTable, type FaultTable } from './faults.ts';
import { advance, emptyLedger, type Ledger } from './ledger.ts';
import { type MachineKind, powerStateOf, type RedfishPowerState } from './machine.ts';
import {
  builtOriginScript,
  defaultUsername,
  type RackOptions,
  randomPassword,
  type ServerSpec,
  serverSpecs,
} from './options.ts';
import { listen, listenOnFreePair } from './ports.ts';
import { createPowerLog, type PowerCommand, type PowerLog } from './powerLog.ts';
import { createRackMachine, type RackMachine } from './rackMachine.ts';
import { seededRandom } from './random.ts';
import type { LoadReport } from './workload.ts';

export type { BmcFault } from './faults.ts';
export type { Ledger } from './ledger.ts';
export type { RackOptions, ServerOptions } from './options.ts';
export type { PowerCommand } from './powerLog.ts';

export interface RackServer {
  readonly name: string;
  readonly originUrl: string;
  readonly bmcUrl: string;
  readonly systemId: string;
  readonly capacityRps: number;
  readonly workers: number;
  readonly energy: EnergyModel;
}

export interface RackServerStatus {
  readonly name: string;
  readonly state: MachineKind;
  readonly powerState: RedfishPowerState;
  readonly powerWatts: number;
  readonly load: LoadReport;
  readonly originPid: number | undefined;
}

/** A running virtual rack. Functions that take a name throw an Error naming it when there is no such server. */
export interface Rack {
  readonly servers: readonly RackServer[];
  readonly username: string;
  readonly password: string;
  /** PEM file of the certificate of every BMC. */
  readonly caFile: string;
  readonly caPem: string;
  readonly fingerprint256: string;
  readonly timeScale: number;
  status(name: string): RackServerStatus;
  /** True energy up to now, since the start (every server on) or the last `resetEnergy()`. */
  energy(): Ledger;
  resetEnergy(): void;
  /** The host loses its supply; its BMC stays. */
  cutPower(name: string): void;
  pressButton(name: string): void;
  /** The origin process dies; its machine stays on. */
  crashOrigin(name: string): void;
  /** Replaces the faults of a BMC; an empty list heals it. */
  setFaults(name: string, faults: readonly BmcFault[]): void;
  /** The BMC shows another certificate; left out: its own again. */
  setCertificate(name: string, certificate?: RackCertificate): void;
  /** The BMC restarts: its sessions are gone. */
  dropSessions(name: string): void;
  /** What reached a BMC, oldest first, at most 1,000. `timeMs` is on the rack's monotonic clock. */
  bmcRequests(name: string): readonly BmcLogEntry[];
  /** The power commands that reached a machine, oldest first, at most 10,000. */
  powerCommands(): readonly PowerCommand[];
  /** Resolves when the server is in that state. @throws Error when it is not within `timeoutMs`. */
  waitFor(name: string, state: MachineKind, timeoutMs?: number): Promise<void>;
  /** Ends every process and socket; nothing is left behind. */
  stop(): Promise<void>;
}

interface Part {
  readonly server: RackServer;
  readonly machine: RackMachine;
  readonly bmcServer: BmcServer;
  readonly faults: FaultTable;
  readonly dropSessions: () => void;
}

interface Shared {
  readonly options: RackOptions;
  readonly certificate: RackCertificate;
  readonly username: string;
  readonly password: string;
  readonly clock: () => number;
  readonly drawPort: () => number;
  readonly powerLog: PowerLog;
  readonly beforeChange: () => void;
  readonly afterChange: () => void;
}

const systemId = '1';
const integrateIntervalMs = 100;
const startTimeoutMs = 30_000;

async function buildPart(spec: ServerSpec, index: number, shared: Shared): Promise<Part> {
  const { options, clock, certificate } = shared;
  const host = options.host ?? '127.0.0.1';
  const faults = createFaultTable();
  const bmc = createBmc(
    {
      name: spec.name,
      uuid: spec.uuid,
      systemId,
      manufacturer: spec.machineModel.manufacturer,
      model: spec.machineModel.model,
      maxWatts: spec.machineModel.busyWatts,
      username: shared.username,
      password: shared.password,
      quirks: spec.quirks,
      maxSessions: options.maxSessions ?? 16,
      sessionTimeoutMs: options.sessionTimeoutMs ?? 1_800_000,
    },
    {
      look: () => ({ state: machine.state(), powerWatts: machine.powerWatts() }),
      reset(resetType) {
        const { busySlots, queued } = machine.load();
        shared.powerLog.note(spec.name, resetType, machine.state().kind, busySlots + queued);
        machine.reset(resetType);
      },
    },
    faults,
    clock,
  );
  const bmcServer = createBmcServer(bmc, faults, certificate, clock);
  const fixedPort = options.basePort === undefined ? undefined : options.basePort + 2 * index;
  if (fixedPort !== undefined) await listen(bmcServer.server, fixedPort, host);
  const port = fixedPort ?? (await listenOnFreePair(bmcServer.server, host, shared.drawPort));
  const machine = createRackMachine(spec, {
    clock,
    faults,
    host,
    port: port + 1,
    originScript: options.originScript ?? builtOriginScript(),
    startAhead: options.startAhead ?? false,
    beforeChange: shared.beforeChange,
    afterChange: shared.afterChange,
    onStopping: (inFlight) => shared.powerLog.onStopping(spec.name, inFlight),
  });
  const urlHost = options.advertiseHost ?? host;
  const server = {
    name: spec.name,
    originUrl: `http://${urlHost}:${port + 1}`,
    bmcUrl: `https://${urlHost}:${port}`,
    systemId,
    capacityRps: spec.capacityRps,
    workers: spec.workers,
    energy: spec.energy,
  };
  return { server, machine, bmcServer, faults, dropSessions: bmc.dropSessions };
}

async function stopParts(parts: readonly Part[]): Promise<void> {
  await Promise.all(parts.flatMap(({ machine, bmcServer }) => [machine.stop(), bmcServer.close()]));
}

function statusOf({ machine }: Part): RackServerStatus {
  return {
    name: machine.spec.name,
    state: machine.state().kind,
    powerState: powerStateOf(machine.state()),
    powerWatts: machine.powerWatts(),
    load: machine.load(),
    originPid: machine.originPid(),
  };
}

/** The ledger of a rack, integrated every 100 ms and just before every change of a state. */
function createAccount(machines: () => readonly RackMachine[], clock: () => number) {
  let ledger = emptyLedger(clock());
  const integrate = () => {
    const points = machines().map((machine) => ({
      name: machine.spec.name,
      model: machine.spec.machineModel,
      capacityRps: machine.spec.capacityRps,
      state: machine.state(),
      utilization: machine.load().utilization,
    }));
    ledger = advance(ledger, clock(), points);
    return ledger;
  };
  const timer = setInterval(integrate, integrateIntervalMs);
  return {
    integrate,
    reset() {
      ledger = emptyLedger(clock());
    },
    stop: () => clearInterval(timer),
  };
}

/** Waits for a change until `isDone`. */
function createChanges() {
  const listeners = new Set<() => void>();
  return {
    announce() {
      for (const listener of listeners) listener();
    },
    until(isDone: () => boolean, timeoutMs: number, what: string): Promise<void> {
      if (isDone()) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const end = () => {
          clearTimeout(timer);
          listeners.delete(look);
        };
        const look = () => {
          if (!isDone()) return;
          end();
          resolve();
        };
        const timer = setTimeout(() => {
          end();
          reject(new Error(`${what} within ${timeoutMs} ms`));
        }, timeoutMs);
        listeners.add(look);
      });
    },
  };
}

async function writeCa(options: RackOptions, certPem: string) {
  const own = options.directory === undefined;
  const directory = options.directory ?? (await mkdtemp(path.join(tmpdir(), 'nemuri-rack-')));
  await mkdir(directory, { recursive: true });
  const caFile = path.resolve(directory, 'ca.pem');
  await writeFile(caFile, certPem);
  return { caFile, remove: () => (own ? rm(directory, { recursive: true, force: true }) : undefined) };
}

/**
 * Starts a rack: BMCs that speak Redfish over HTTPS, and an origin process for each server that is on.
 * Resolves when those serve.
 * @throws Error when a port is taken, the origin's script is missing (build first), or a server does not come up.
 */
export async function startRack(options: RackOptions): Promise<Rack> {
  const specs = serverSpecs(options);
  const clock = () => performance.now();
  const hostNames = [options.advertiseHost, ...(options.hostNames ?? [])].filter(
    (name) => name !== undefined,
  );
  const certificate = await createCertificate(hostNames);
  const { caFile, remove } = await writeCa(options, certificate.certPem);
  const changes = createChanges();
  const parts: Part[] = [];
  const account = createAccount(() => parts.map(({ machine }) => machine), clock);
  const username = options.username ?? defaultUsername;
  const password = options.password ?? randomPassword();
  const shared: Shared = {
    options,
    certificate,
    username,
    password,
    clock,
    // By process, not by seed: racks of the same seed that run at once look in different places.
    powerLog: createPowerLog(Date.now),
    drawPort: seededRandom(process.pid + Math.floor(clock())),
    beforeChange: account.integrate,
    afterChange: changes.announce,
  };
  const stop = async () => {
    account.stop();
    await stopParts(parts);
    await remove();
  };
  const isServing = ({ machine }: Part) => machine.state().kind === 'serving';
  try {
    for (const [index, spec] of specs.entries()) parts.push(await buildPart(spec, index, shared));
    const initial = parts.filter(({ machine }) => machine.spec.initialPower === 'on');
    for (const { machine } of initial) machine.startAtOnce();
    await changes.until(() => initial.every(isServing), startTimeoutMs, 'the rack does not serve');
  } catch (error) {
    await stop();
    throw error;
  }
  account.reset();

  const partOf = (name: string): Part => {
    const part = parts.find(({ server }) => server.name === name);
    if (!part) throw new Error(`the rack has no server "${name}"`);
    return part;
  };
  return {
    servers: parts.map(({ server }) => server),
    username,
    password,
    caFile,
    caPem: certificate.certPem,
    fingerprint256: certificate.fingerprint256,
    timeScale: options.timeScale ?? 1,
    status: (name) => statusOf(partOf(name)),
    energy: account.integrate,
    resetEnergy: account.reset,
    cutPower: (name) => partOf(name).machine.cutPower(),
    pressButton: (name) => partOf(name).machine.reset('PushPowerButton'),
    crashOrigin: (name) => partOf(name).machine.crashOrigin(),
    setFaults: (name, faults) => partOf(name).faults.set(faults),
    setCertificate: (name, other = certificate) => partOf(name).bmcServer.setCertificate(other),
    dropSessions: (name) => partOf(name).dropSessions(),
    bmcRequests: (name) => partOf(name).bmcServer.requests(),
    powerCommands: shared.powerLog.list,
    waitFor(name, state, timeoutMs = 10_000) {
      const { machine } = partOf(name);
      const isThere = () => machine.state().kind === state;
      return changes.until(isThere, timeoutMs, `${name} is not ${state}`);
    },
    stop,
  };
}
