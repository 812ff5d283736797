import { type ChildProcess, fork } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectJetStreamBus } from '../../libs/bus/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { ensureNatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { type Host, originPort, proberUid } from './hosts.ts';
import { launch, nginxArgs, nginxShell, untilServing } from './rivals.ts';

/** What all contestants are told alike: probes, and the patience with a server. */
export interface Patience {
  readonly intervalMs: number;
  readonly fastIntervalMs: number;
  readonly connectMs: number;
  readonly responseMs: number;
}

/** Epoch ms; left out: it did not happen. */
export interface KnownDeath {
  readonly detectedMs?: number;
  /** The decision to wake a replacement was in the history. */
  readonly wakeRequestedMs?: number;
  /** The replacement's hardware was told. */
  readonly wakeMs?: number;
}

export interface FailoverSite {
  readonly name: string;
  readonly url: string;
  /** Resolves when every server that shall serve does; gives those. */
  settled(): Promise<readonly Host[]>;
  /** What became known of this host's death, in epoch ms. */
  knownOf(host: Host, sinceMs: number): KnownDeath;
  stop(): Promise<void>;
}

const host = '127.0.0.1';
const settleTimeoutMs = 40_000;

/** The rivals have no power button: the first `serving` hosts are on and stay so. */
async function rival(
  name: string,
  folder: string,
  command: string,
  hosts: readonly Host[],
  config: (port: number, own: string) => string,
  args: (file: string) => readonly string[],
): Promise<FailoverSite> {
  const { port, stop } = await launch(name, { folder, originPorts: [] }, command, config, args);
  return {
    name,
    url: `http://${host}:${port}/`,
    async settled() {
      await Promise.all(hosts.map((one) => one.powerOn()));
      return hosts;
    },
    knownOf: () => ({}),
    stop,
  };
}

export function startHaproxySite(folder: string, hosts: readonly Host[], patience: Patience) {
  const { intervalMs, fastIntervalMs, connectMs, responseMs } = patience;
  const check = `inter ${intervalMs} fastinter ${fastIntervalMs} downinter ${fastIntervalMs} rise 2 fall 3`;
  const servers = hosts.map(
    ({ name, address, checkAddress }) =>
      `  server ${name} ${address}:${originPort} check addr ${checkAddress} ${check} observe layer7 error-limit 1 on-error mark-down`,
  );
  const config = (port: number) => `global
  nbthread 1
defaults
  mode http
  timeout connect ${connectMs}
  timeout client 60s
  timeout server ${responseMs}
  timeout check ${intervalMs}
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout
frontend in
  bind ${host}:${port}
  default_backend origin
backend origin
  balance leastconn
  http-reuse always
  option httpchk GET /
${servers.join('\n')}
`;
  return rival('haproxy', folder, 'haproxy', hosts, config, (file) => ['-f', file, '-db']);
}

export function startNginxSite(folder: string, hosts: readonly Host[], patience: Patience) {
  const { intervalMs, connectMs, responseMs } = patience;
  const servers = hosts.map(
    ({ address }) =>
      `server ${address}:${originPort} max_fails=1 fail_timeout=${Math.ceil((3 * intervalMs) / 1_000)}s;`,
  );
  const http = (port: number) => `  upstream origin { least_conn; ${servers.join(' ')} keepalive 64; }
  server {
    listen ${host}:${port};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout ${connectMs}ms; proxy_read_timeout ${responseMs}ms;
      proxy_next_upstream error timeout; proxy_next_upstream_tries 4;
    }
  }`;
  const config = (port: number, own: string) => nginxShell(own, http(port));
  return rival('nginx', folder, 'nginx', hosts, config, nginxArgs);
}

/** A power button for each host: `/s1/on`, `/s1/off`, `/s1/state`. */
async function startButtons(hosts: readonly Host[]) {
  /** Epoch ms of each wake. */
  const wakesMs: number[] = [];
  const server = createServer((request, response) => {
    const [, name, act] = (request.url ?? '').split('/');
    const own = hosts.find((one) => one.name === name);
    if (act === 'on') wakesMs.push(Date.now());
    // It switches in its own time, as a machine does.
    if (act === 'on') void own?.powerOn();
    if (act === 'off') void own?.powerOff();
    response.end(JSON.stringify({ output: own?.isOn ?? false }));
  });
  await new Promise<void>((done) => server.listen(0, host, done));
  return { server, wakesMs, port: (server.address() as AddressInfo).port };
}

function nemuriConfig(hosts: readonly Host[], serving: number, buttons: number, patience: Patience): string {
  const { intervalMs, fastIntervalMs, connectMs, responseMs } = patience;
  const request = (path: string) => ({ path, jsonPath: 'output' });
  const servers = hosts.map(({ name, address }) => {
    const power = {
      driver: 'http',
      url: `http://${host}:${buttons}`,
      wake: { path: `/${name}/on`, method: 'POST' },
      sleep: { path: `/${name}/off`, method: 'POST' },
      readPower: request(`/${name}/state`),
    };
    const energy = { setupTimeMs: 2_000 };
    return [
      name,
      { pool: 'web', url: `http://${address}:${originPort}`, capacityRps: 1_000, power: [power], energy },
    ];
  });
  const healthCheck = { intervalMs, fastIntervalMs, timeoutMs: intervalMs, rise: 2, fall: 3 };
  const planner = { decideIntervalMs: 500, leaseMs: 10_000, minAwakeMs: 500 };
  const forwarding = { connectTimeoutMs: connectMs, responseTimeoutMs: responseMs };
  const pool = { minServers: serving, healthCheck, planner, forwarding, drainTimeoutMs: 2_000 };
  const bounds = {
    reconcileIntervalMs: 500,
    maxCyclesPerDay: 200,
    hungAfterMs: 3_600_000,
    maxActionsPerMinute: 60,
  };
  return JSON.stringify({ version: 1, pools: { web: pool }, servers: Object.fromEntries(servers), bounds });
}

/** All of Nemuri, each service a process; the health service as another user, so that its probes are known by sight. */
export async function startNemuriSite(
  folder: string,
  hosts: readonly Host[],
  serving: number,
  patience: Patience,
): Promise<FailoverSite> {
  const buttons = await startButtons(hosts);
  const log = (line: string) => void process.stderr.write(`${line}\n`);
  const nats = await startNatsServer({ binary: await ensureNatsServer({ log }), storeDir: folder });
  const bus = await connectJetStreamBus({ servers: nats.url, source: '/nemuri/bench', name: 'bench' });
  const parsed = parseConfig(nemuriConfig(hosts, serving, buttons.port, patience), { file: 'bench.json' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  await Promise.all(hosts.slice(0, serving).map((one) => one.powerOn()));
  await bus.publish({ type: 'FleetConfigured', data: { config: parsed.config, origin: 'bench' } });
  const port = await freePort(host);
  const services: ChildProcess[] = ['health', 'power', 'planner', 'proxy'].map((name) =>
    fork(resolve(import.meta.dirname, `../../services/${name}/main.js`), {
      env: {
        ...process.env,
        NEMURI_NATS_URL: nats.url,
        NEMURI_NAME: name,
        NEMURI_ADMIN_LISTEN: `${host}:0`,
        NEMURI_LISTEN: `${host}:${port}`,
        // As its rivals: one thread that carries requests, and finds out.
        NEMURI_PROXY_WORKERS: '1',
        NEMURI_LOG_LEVEL: 'warn',
      },
      ...(name === 'health' ? { uid: proberUid } : {}),
      stdio: ['ignore', 2, 2, 'ipc'],
    }),
  );
  const view = await openFleetView({ bus, name: 'bench', readOnly: true, onProblem: () => undefined });
  const unhealthyMs = new Map<string, number>();
  const wakesRequestedMs: number[] = [];
  view.onChange((event) => {
    if (event.type === 'WakeRequested') wakesRequestedMs.push(event.timeMs);
    if (event.type === 'ServerBecameUnhealthy') unhealthyMs.set(event.data.server, event.timeMs);
  });
  return {
    name: 'nemuri',
    url: `http://${host}:${port}/`,
    async settled() {
      await untilSettled(view, serving);
      await untilServing(port);
      return hosts.filter(({ name }) => view.fleet.servers[name]?.lifecycle === 'ready');
    },
    knownOf({ name }, sinceMs) {
      const detectedMs = unhealthyMs.get(name);
      const wakeMs = buttons.wakesMs.find((timeMs) => timeMs >= sinceMs);
      const wakeRequestedMs = wakesRequestedMs.find((timeMs) => timeMs >= sinceMs);
      return {
        ...(detectedMs !== undefined && detectedMs >= sinceMs ? { detectedMs } : {}),
        ...(wakeRequestedMs === undefined ? {} : { wakeRequestedMs }),
        ...(wakeMs === undefined ? {} : { wakeMs }),
      };
    },
    async stop() {
      await Promise.all(services.reverse().map((service) => endProcess(service, 10_000)));
      await view.close();
      await bus.close();
      await nats.stop();
      buttons.server.closeAllConnections();
      buttons.server.close();
    },
  };
}

/** So many serve and all others sleep, for as long as two decisions take. */
async function untilSettled({ fleet }: FleetView, serving: number): Promise<void> {
  const deadlineMs = Date.now() + settleTimeoutMs;
  for (let calm = 0; calm < 10; ) {
    const states = Object.values(fleet.servers);
    const ready = states.filter(({ lifecycle, health }) => lifecycle === 'ready' && health === 'healthy');
    const asleep = states.filter(({ lifecycle }) => lifecycle === 'asleep');
    const isDecided = fleet.pools.web?.decision !== undefined;
    const isCalm = isDecided && ready.length === serving && asleep.length === states.length - serving;
    calm = isCalm ? calm + 1 : 0;
    if (Date.now() > deadlineMs) {
      const seen = states.map(({ name, lifecycle, health }) => `${name} ${lifecycle} ${health}`);
      throw new Error(`the fleet does not settle: ${seen.join(', ')}`);
    }
    await pause(100);
  }
}
