import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import type { EventOf } from '../../libs/events/mod.ts';
import { formatProblem, parseConfig } from '../../libs/runtime/config.ts';
import { publishConfig } from '../../libs/runtime/configSource.ts';
import { type CuttableProxy, openCuttableProxy } from '../../libs/runtime/cuttableProxy.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type NatsCluster, startNatsCluster } from '../../libs/runtime/natsCluster.ts';
import { ensureNatsServer } from '../../libs/runtime/natsServer.ts';
import { type SupervisedProcess, supervise } from '../../libs/runtime/supervisor.ts';
import { makeGuardedFolder } from '../demo/guardedFolder.ts';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { type Rack, startRack } from '../rack/rack.ts';
import type { ChaosOptions } from './options.ts';
import { chaosRack, chaosSettings, streamLimits } from './settings.ts';

export const replicated = ['planner', 'power', 'health'] as const;
export type UnitKind = (typeof replicated)[number] | 'proxy';

/** One replica of a service as a process, behind cuttable cables to the bus. */
export interface Unit {
  readonly kind: UnitKind;
  readonly name: string;
  readonly process: SupervisedProcess;
  /** To each nats-server. */
  readonly cables: readonly CuttableProxy[];
  /** Where a proxy listens, as `http://host:port`. */
  readonly address: string | undefined;
  /** To the whole process group: a proxy's workers too. */
  signal(signal: NodeJS.Signals): void;
  /** What it says at `/readyz` when it is ready; undefined: it is not. */
  ready(): Promise<{ readonly role?: string } | undefined>;
  /** The fleet as it holds it; undefined: it does not answer. */
  fleet(): Promise<unknown>;
}

export interface Site {
  readonly rack: Rack;
  readonly cluster: NatsCluster;
  readonly bus: Bus;
  readonly view: FleetView;
  readonly units: readonly Unit[];
  readonly powerLeases: readonly EventOf<'LeaseHeld'>[];
  /** Stops every process; nothing is left running or left behind. */
  close(): Promise<void>;
}

const passwordVariable = 'NEMURI_CHAOS_BMC_PASSWORD';
const readyTimeoutMs = 120_000;
const stopTimeoutMs = 35_000;
const lookTimeoutMs = 2_000;

/**
 * Builds the whole and resolves when every server and every service is ready.
 * @param distDir the folder with the built `services/` and `lab/`.
 * @param say one line for each step, for people who wait.
 */
export async function startSite(
  options: ChaosOptions,
  distDir: string,
  say: (line: string) => void,
): Promise<Site> {
  const binary = await ensureNatsServer({ log: say });
  const guarded = await makeGuardedFolder('chaos', distDir);
  const folder = guarded.path;
  const cleanUps: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  };
  try {
    cleanUps.push(guarded.remove);
    say(`starting ${options.servers} machines and their BMCs`);
    const originScript = join(distDir, 'lab/rack/origin.js');
    const rack = await startRack({ ...chaosRack(options), directory: folder, originScript });
    cleanUps.push(() => rack.stop());
    say('starting three nats-servers');
    const cluster = await startNatsCluster(join(folder, 'nats'), binary);
    cleanUps.push(() => cluster.stop());
    const bus = await connectJetStreamBus({
      servers: cluster.servers.map(({ url }) => url),
      source: '/nemuri/chaos',
      name: 'chaos',
      limits: streamLimits,
    });
    cleanUps.push(() => bus.close());
    await configure(bus, rack);
    const powerLeases: EventOf<'LeaseHeld'>[] = [];
    await bus.subscribe({
      stream: 'TELEMETRY',
      startAt: 'beginning',
      onEvent(event) {
        if (event.type === 'LeaseHeld' && event.data.service === 'power') powerLeases.push(event);
      },
    });
    const view = await openFleetView({ bus, name: 'chaos', readOnly: true, onProblem: () => {} });
    cleanUps.push(() => view.close());
    say('starting two replicas of each service');
    const units = await startUnits(options, rack, cluster, distDir, cleanUps);
    say('waiting until everything is ready');
    const signal = AbortSignal.timeout(readyTimeoutMs);
    await view.when(({ servers }) => {
      const states = Object.values(servers);
      return states.length === options.servers && states.every(({ lifecycle }) => lifecycle === 'ready');
    }, signal);
    await untilReady(units, signal);
    return { rack, cluster, bus, view, units, powerLeases, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function configure(bus: Bus, rack: Rack): Promise<void> {
  const yaml = rackConfigYaml(rackConfig(rack, { ...chaosSettings, password: `env:${passwordVariable}` }));
  const parsed = parseConfig(yaml, { file: 'chaos.yaml' });
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'));
  await publishConfig(bus, parsed.config, 'chaos');
}

async function startUnits(
  options: ChaosOptions,
  rack: Rack,
  cluster: NatsCluster,
  distDir: string,
  cleanUps: (() => Promise<unknown>)[],
): Promise<readonly Unit[]> {
  const { keepLogs } = options;
  const logs = keepLogs === undefined ? undefined : createWriteStream(keepLogs);
  if (logs) cleanUps.push(() => new Promise((resolve) => logs.end(() => resolve(undefined))));
  const kinds: readonly UnitKind[] = [...replicated, 'proxy'];
  const units = await Promise.all(
    kinds.flatMap((kind) =>
      ['a', 'b'].map(async (letter) => {
        const name = `${kind}-${letter}`;
        const cables = await Promise.all(cluster.servers.map(({ port }) => openCuttableProxy(port)));
        const listen = kind === 'proxy' ? `127.0.0.1:${await freePort('127.0.0.1')}` : undefined;
        const process = supervise({
          name,
          script: join(distDir, 'services', kind, 'main.js'),
          env: {
            [passwordVariable]: rack.password,
            NEMURI_LOG_LEVEL: logs ? 'info' : 'warn',
            NEMURI_NATS_URL: cables.map(({ url }) => url).join(','),
            NEMURI_NAME: name,
            NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
            ...(listen === undefined ? {} : { NEMURI_LISTEN: listen }),
          },
          onLine: (line) => void logs?.write(`${new Date().toISOString()} ${name} ${line}\n`),
        });
        return unitOf(kind, name, process, cables, listen);
      }),
    ),
  );
  cleanUps.push(async () => {
    for (const { cables } of units) for (const cable of cables) cable.plug();
    for (const unit of units) unit.signal('SIGCONT');
    const stop = (wanted: (unit: Unit) => boolean) =>
      Promise.all(units.filter(wanted).map(({ process }) => process.stop(stopTimeoutMs)));
    await stop(({ kind }) => kind === 'proxy');
    await stop(({ kind }) => kind !== 'proxy');
    await Promise.all(units.flatMap(({ cables }) => cables.map((cable) => cable.close())));
  });
  return units;
}

function unitOf(
  kind: UnitKind,
  name: string,
  supervised: SupervisedProcess,
  cables: readonly CuttableProxy[],
  listen: string | undefined,
): Unit {
  const look = async (path: string): Promise<unknown> => {
    const { started } = supervised;
    if (!started) return undefined;
    const signal = AbortSignal.timeout(lookTimeoutMs);
    const response = await fetch(`http://127.0.0.1:${started.admin.port}${path}`, { signal }).catch(
      () => undefined,
    );
    const body = await response?.json().catch(() => undefined);
    return response?.ok ? body : undefined;
  };
  return {
    kind,
    name,
    process: supervised,
    cables,
    address: listen === undefined ? undefined : `http://${listen}`,
    signal(signal) {
      const { pid } = supervised;
      if (pid === undefined) return;
      try {
        // It leads a process group of its own.
        process.kill(-pid, signal);
      } catch {
        // It has ended meanwhile.
      }
    },
    ready: () => look('/readyz') as Promise<{ role?: string } | undefined>,
    fleet: () => look('/fleet'),
  };
}

/** Resolves when all of them are ready and each replicated service among them has a leader. @throws on abort. */
export async function untilReady(units: readonly Unit[], signal: AbortSignal): Promise<void> {
  while (!(await areReady(units))) {
    signal.throwIfAborted();
    await pause(100);
  }
}

/** Are all of them ready, and does each replicated service among them have a leader? */
export async function areReady(units: readonly Unit[]): Promise<boolean> {
  const answers = await Promise.all(units.map((unit) => unit.ready()));
  if (answers.includes(undefined)) return false;
  const led = new Set(
    units.filter((_unit, index) => answers[index]?.role === 'leader').map(({ kind }) => kind),
  );
  return units.every(({ kind }) => kind === 'proxy' || led.has(kind));
}

/** Does one of these replicas of a service do its work: is it ready, and does it lead where one leads? */
export async function isServed(units: readonly Unit[]): Promise<boolean> {
  const serves = async (unit: Unit) => {
    const answer = await unit.ready();
    if (!answer || (unit.kind !== 'proxy' && answer.role !== 'leader'))
      throw new Error(`${unit.name} does not`);
    return true;
  };
  // The first that does is enough: one that was stopped answers late.
  return Promise.any(units.map(serves)).catch(() => false);
}
