import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '../../libs/bus/mod.ts';
import { takesRequests } from '../../libs/domain/mod.ts';
import type { EventDraft, FleetConfig } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import { createCertificate } from '../rack/certificate.ts';
import { seededRandom } from '../rack/random.ts';
import { passwordVariable, type SoakHost } from './host.ts';
import { type SoakMachine, startSoakMachine } from './machine.ts';

/** Machines, and the health and the power service on their host; we play planner, proxies and agents. */
export interface SoakSite {
  readonly bus: Bus;
  readonly view: FleetView;
  readonly config: FleetConfig;
  readonly machines: readonly SoakMachine[];
  /** Shall this server be awake? */
  readonly isWanted: (server: string) => boolean;
  /** Servers that one of the two proxies can't reach. */
  readonly split: Set<string>;
  /** Ends the host with its services too. */
  stop(): Promise<void>;
}

/** Those that shall be awake are in the one pool, those that shall sleep in the other: who sleeps waits for nobody. */
const awakePool = 'web';
const sleepersPool = 'rest';
/** Of five servers one shall sleep. */
const isWanted = (server: string) => Number(server.slice(1)) % 5 !== 0;
const poolOf = (server: string) => (isWanted(server) ? awakePool : sleepersPool);
const username = 'nemuri';
export const soakPassword = 'soak-of-the-rack';
const setupTimeMs = 500;
/** One reading of a BMC takes no longer. */
export const requestTimeoutMs = 1_000;
const beatIntervalMs = 700;
const sampleIntervalMs = 500;
const decideIntervalMs = 2_000;
const latencyMs = { p50: 1, p95: 1, p99: 1, max: 1 };

function configText(machines: readonly SoakMachine[], caFile: string): string {
  const servers = machines.map(({ name, bmcUrl, originUrl }) => {
    const redfish = {
      driver: 'redfish',
      url: bmcUrl,
      username,
      password: `env:${passwordVariable}`,
      tls: { caFile },
      requestTimeoutMs,
      confirmTimeoutMs: 1_500,
      gracefulOffTimeoutMs: 1_500,
      allowForceOff: true,
      tries: 4,
    };
    const energy = { setupTimeMs };
    return [
      name,
      {
        pool: poolOf(name),
        url: originUrl,
        capacityRps: 100,
        power: [redfish],
        energy,
        wakeTimeoutMs: 8_000,
      },
    ];
  });
  const healthCheck = { intervalMs: 500, fastIntervalMs: 150, timeoutMs: 400, rise: 2, fall: 3 };
  const planner = { minAwakeMs: 0, leaseMs: 60_000 };
  const bounds = {
    heartbeatIntervalMs: beatIntervalMs,
    heartbeatLeaseMs: 2_500,
    contradictionConfirmMs: 500,
    contradictionSettleMs: 4_000,
    sleepProofTimeoutMs: 3_000,
    reconcileIntervalMs: 800,
    meterIntervalMs: 60_000,
    sampleIntervalMs,
    // What is meant to come once in a while comes all the time here.
    restartStormBoots: 60,
    flapWindowMs: 3_000,
    quarantineMs: 500,
    maxQuarantineMs: 2_000,
    minConfirmMs: 500,
    minRungTimeoutMs: 4_000,
    maxCyclesPerDay: 200,
    maxActionsPerMinute: 60,
    maxMendsPerDay: 50,
    maxConcurrentWakes: machines.length,
    hungAfterMs: 60_000,
  };
  return JSON.stringify({
    version: 1,
    pools: {
      [awakePool]: { minServers: 1, healthCheck, planner },
      [sleepersPool]: { routes: [{ host: 'rest.test' }], minServers: 0, healthCheck, planner },
    },
    servers: Object.fromEntries(servers),
    bounds,
  });
}

export async function startSoakSite(count: number, seed: number, host: SoakHost): Promise<SoakSite> {
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-soak-'));
  const certificate = await createCertificate([]);
  const caFile = join(folder, 'ca.pem');
  await writeFile(caFile, certificate.certPem);
  const machines: SoakMachine[] = [];
  // By process: soaks of one seed that run at once look for ports in different places.
  const random = seededRandom(process.pid + seed);
  for (let index = 1; index <= count; index += 1) {
    const options = { name: `s${index}`, certificate, username, password: soakPassword, setupTimeMs, random };
    machines.push(await startSoakMachine(options));
  }
  const { bus } = host;
  const parsed = parseConfig(configText(machines, caFile), { file: 'soak.json' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const { config } = parsed;
  await bus.publish({ type: 'FleetConfigured', data: { config, origin: 'soak' } });
  for (const service of ['health', 'power'] as const) await host.start(service);
  const view = await openFleetView({ bus, name: 'soak', readOnly: true, onProblem: () => undefined });
  const split = new Set<string>();
  const players = play(bus, view, machines, split);
  return {
    bus,
    view,
    config,
    machines,
    isWanted,
    split,
    async stop() {
      await players.stop();
      await view.close();
      await host.close();
      await Promise.all(machines.map((machine) => machine.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Two proxies that send requests where the fleet says, the agents of the machines, and a planner that never changes. */
function play(bus: Bus, view: FleetView, machines: readonly SoakMachine[], split: ReadonlySet<string>) {
  let beats = 0;
  const publish = async (draft: EventDraft) => void (await bus.publish(draft, { timeoutMs: 2_000 }));
  const sample = (proxy: string) => {
    const servers = machines.flatMap((machine) => {
      const state = view.fleet.servers[machine.name];
      if (!state || !takesRequests(state)) return [];
      const fails = !machine.serves() || (proxy === 'p2' && split.has(machine.name));
      const seen = { inFlight: 0, completed: fails ? 0 : 5, failed: fails ? 5 : 0, latencyMs };
      return [[machine.name, seen] as const];
    });
    const counts = { arrivals: 9, completed: 9, failed: 0, rejected: 0, parked: 0, newlyParked: 0 };
    const load = { ...counts, parkedOldestMs: 0, inFlight: 0, latencyMs, stopping: false };
    const data = {
      pool: awakePool,
      proxy,
      intervalMs: sampleIntervalMs,
      ...load,
      servers: Object.fromEntries(servers),
    };
    return publish({ type: 'LoadSampled', data });
  };
  const beat = async (machine: SoakMachine) => {
    if (!machine.isUp() || !machine.agentSpeaks) return;
    const about = {
      server: machine.name,
      pool: poolOf(machine.name),
      via: 'agent',
      bootId: machine.bootId(),
    } as const;
    const data = { ...about, heartbeat: ++beats, wish: machine.wish, shuttingDown: false, unreachable: [] };
    await publish({ type: 'HeartbeatSent', data });
  };
  const decide = (pool: string) => {
    const target = machines.map(({ name }) => name).filter((name) => pool === awakePool && isWanted(name));
    const inputs = {
      nowRps: 1,
      levelRps: 1,
      keepRps: 1,
      risk: 0.01,
      horizonMs: 1,
      parked: 0,
      inFlight: 0,
      proxies: 2,
      observedForMs: 1,
      neededServers: target.length,
      keptServers: target.length,
      capacityRps: 100,
      countedServers: target.length,
      floor: 1,
      spareServers: 0,
      headroom: 0.2,
      breakEvenMs: 1,
    };
    const data = { pool, target, inputs, forecastRps: 1, validForMs: 60_000, reason: 'soak' };
    return publish({ type: 'CapacityDecided', data });
  };
  const forget = view.onChange((event) => {
    if (event.type !== 'SleepRequested') return;
    const { server, pool, sleepId } = event.data;
    for (const proxy of ['p1', 'p2'])
      void publish({ type: 'ServerDrained', data: { server, pool, proxy, sleepId, elapsedMs: 1 } });
  });
  const every = (delayMs: number, work: () => Promise<unknown>) =>
    startLoop({ work: async () => void (await work()), delayMs: () => delayMs, onError: () => undefined });
  const loops = [
    every(sampleIntervalMs, () => Promise.all([sample('p1'), sample('p2')])),
    every(beatIntervalMs, () => Promise.all(machines.map(beat))),
    every(decideIntervalMs, () => Promise.all([awakePool, sleepersPool].map(decide))),
  ];
  return {
    async stop() {
      forget();
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}
