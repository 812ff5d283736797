import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import type { EventDraft, FleetConfig } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { ensureNatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { type SupervisedProcess, supervise } from '../../libs/runtime/supervisor.ts';

/** A real proxy process before real server processes; the soak plays the services that wake, sleep and probe. */
export interface SoakSite {
  readonly port: number;
  readonly servers: readonly string[];
  readonly proxy: SupervisedProcess;
  /** Epoch ms; 0: none has died. */
  readonly lastDeathMs: number;
  /** Drains it by the proxy's word, then ends its process: no power, no server. */
  sleep(server: string): Promise<void>;
  /** Starts its process, and says that it is healthy. */
  wake(server: string): Promise<void>;
  /** Its process is gone from one moment to the next; health notices later. */
  kill(server: string): Promise<void>;
  /** How many requests the server had at once, at most. */
  mostInFlight(server: string): Promise<number>;
  /** The proxy's metrics by name, without labels; for families with labels the sum. */
  metrics(): Promise<ReadonlyMap<string, number>>;
  stop(): Promise<void>;
}

const host = '127.0.0.1';
const drainTimeoutMs = 1_500;
const stopTimeoutMs = 15_000;

export interface SoakOptions {
  readonly servers: number;
  readonly workers?: number;
  /** Of each server; default 64. */
  readonly maxInFlight?: number;
  /** Of the pool, beside or in place of the soak's. */
  readonly pool?: object;
  /** Of the proxy (`proxy.*`). */
  readonly proxy?: Partial<FleetConfig['proxy']>;
  /** The servers are awake from the start; default true. */
  readonly awake?: boolean;
}

export async function startSoakSite(options: SoakOptions): Promise<SoakSite> {
  const {
    servers: count,
    workers = 1,
    awake = true,
    maxInFlight = 64,
    proxy: proxySettings = {},
    pool = {},
  } = options;
  const folder = await mkdtemp(join(tmpdir(), 'nemuri-soak-'));
  const nats = await startNatsServer({
    storeDir: folder,
    binary: await ensureNatsServer({ log: () => undefined }),
  });
  const bus = await connectJetStreamBus({ servers: [nats.url], source: '/nemuri/soak', name: 'soak' });
  const servers = Array.from({ length: count }, (_, index) => `s${index + 1}`);
  const ports = new Map<string, number>();
  for (const server of servers) ports.set(server, await freePort(host));
  const processes = new Map<string, ChildProcess>();
  const port = await freePort(host);
  await publish(bus, {
    type: 'FleetConfigured',
    data: { config: configOf(ports, maxInFlight, proxySettings, pool), origin: 'soak' },
  });
  const proxy = supervise({
    name: 'proxy',
    script: resolve('dist/services/proxy/main.js'),
    env: {
      NEMURI_NATS_URL: nats.url,
      NEMURI_NAME: 'proxy',
      NEMURI_PROXY_WORKERS: String(workers),
      NEMURI_LISTEN: `${host}:${port}`,
      NEMURI_ADMIN_LISTEN: `${host}:0`,
      NEMURI_LOG_LEVEL: 'error',
    },
    onLine: (line) => process.stderr.write(`proxy: ${line}\n`),
  });
  const { admin } = await proxy.whenStarted();
  let turn = 0;
  let lastDeathMs = 0;
  const say = (draft: EventDraft) => publish(bus, draft);
  const end = async (server: string) => {
    const child = processes.get(server);
    if (!child) return;
    processes.delete(server);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const site: SoakSite = {
    port,
    servers,
    proxy,
    async sleep(server) {
      turn += 1;
      const about = { server, pool: 'web' };
      const sleepId = `sleep-${turn}`;
      const drained = await hearDrain(bus, sleepId);
      await say({ type: 'SleepRequested', data: { ...about, sleepId, drainTimeoutMs, reason: 'soak' } });
      await drained();
      await say({
        type: 'SleepAttempted',
        data: { ...about, sleepId, attempt: 1, driver: 'exec', forced: false },
      });
      await end(server);
      await say({ type: 'ServerPoweredOff', data: about });
      await say({ type: 'SleepVerified', data: { ...about, evidence: 'silent' } });
    },
    async wake(server) {
      turn += 1;
      const about = { server, pool: 'web' };
      await say({ type: 'WakeRequested', data: { ...about, wakeId: `wake-${turn}`, reason: 'soak' } });
      const child = fork(resolve('dist/lab/soak/origin.js'), [String(ports.get(server))]);
      processes.set(server, child);
      await once(child, 'message');
      await say({ type: 'ServerPoweredOn', data: about });
      await say({ type: 'ServerBecameHealthy', data: { ...about, latencyMs: 1, consecutive: 2 } });
    },
    get lastDeathMs() {
      return lastDeathMs;
    },
    async kill(server) {
      lastDeathMs = Date.now();
      await end(server);
      const data = { server, pool: 'web', reason: 'soak', consecutive: 3 };
      await say({ type: 'ServerBecameUnhealthy', data });
    },
    async mostInFlight(server) {
      const answer = await fetch(`http://${host}:${ports.get(server)}/most`);
      return Number(await answer.text());
    },
    async metrics() {
      const answer = await fetch(`http://${host}:${admin.port}/metrics`);
      return sumsOf(await answer.text());
    },
    async stop() {
      await proxy.stop(stopTimeoutMs);
      for (const server of servers) await end(server);
      await bus.close();
      await nats.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  if (awake) for (const server of servers) await site.wake(server);
  return site;
}

async function publish(bus: Bus, draft: EventDraft): Promise<void> {
  await bus.publish(draft);
}

function configOf(ports: ReadonlyMap<string, number>, maxInFlight: number, proxy: object, pool: object) {
  const servers = Object.fromEntries(
    [...ports].map(([server, port]) => [
      server,
      { pool: 'web', url: `http://${host}:${port}`, capacityRps: 300, maxInFlight },
    ]),
  );
  const pools = { web: { minServers: 0, drainTimeoutMs, balancing: { slowStartMs: 1_000 }, ...pool } };
  const result = parseConfig(JSON.stringify({ version: 1, pools, servers, proxy }), { file: 'soak' });
  if (!result.ok) throw new Error(`the soak's configuration: ${JSON.stringify(result.problems)}`);
  return result.config;
}

/** Listens for the proxy's word that this drain is over. @returns, once it listens, the way to wait for it. */
async function hearDrain(bus: Bus, sleepId: string): Promise<() => Promise<void>> {
  let tell = () => {};
  const over = new Promise<void>((resolveOver) => {
    tell = resolveOver;
  });
  const subscription = await bus.subscribe({
    stream: 'FLEET',
    startAt: 'new',
    onEvent(event) {
      const isEnd = event.type === 'ServerDrained' || event.type === 'DrainTimedOut';
      if (isEnd && event.data.sleepId === sleepId) tell();
    },
  });
  return async () => {
    await over;
    await subscription.stop();
  };
}

function sumsOf(text: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', value] = /^([a-z_0-9]+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
    if (value !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}
