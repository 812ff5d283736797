import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../libs/runtime/freePort.ts';
import { startStack } from '../../libs/runtime/stack.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { familyOf, startListening } from './processes.ts';

/** A proxy under test, running. */
export interface Contestant {
  readonly name: string;
  readonly port: number;
  /** The processes that carry requests. */
  readonly pids: () => number[];
  stop(): Promise<void>;
}

export interface Site {
  /** For configurations, logs and pid files. */
  readonly folder: string;
  readonly originPorts: readonly number[];
}

/** `streamed` comes in chunks, without a length. */
export const bodyBytes = { small: 1_024, large: 102_400, streamed: 102_400 } as const;

const host = '127.0.0.1';
const stopTimeoutMs = 10_000;
const startTimeoutMs = 30_000;

export async function launch(
  name: string,
  { folder }: Site,
  command: string,
  config: (port: number, own: string) => string,
  args: (file: string) => readonly string[],
): Promise<Contestant> {
  const port = await freePort(host);
  const own = join(folder, name);
  await mkdir(own, { recursive: true });
  const file = join(own, `${name}.conf`);
  await writeFile(file, config(port, own));
  const child = await startListening(command, args(file), port);
  return { name, port, pids: () => familyOf(child.pid ?? 0), stop: () => endProcess(child, stopTimeoutMs) };
}

export function nginxShell(own: string, http: string): string {
  return `daemon off; worker_processes 1; pid ${own}/pid; error_log ${own}/error.log;
user root;
worker_rlimit_nofile 19000;
events { worker_connections 18000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 75s; sendfile on;
  client_body_temp_path ${own}/body; proxy_temp_path ${own}/proxy; fastcgi_temp_path ${own}/fcgi;
  uwsgi_temp_path ${own}/uwsgi; scgi_temp_path ${own}/scgi;
${http}
}
`;
}

export const nginxArgs = (file: string) => ['-c', file, '-p', '/tmp', '-e', `${file}.log`];

/** The web server behind all of them: nginx with files, several ports, as several servers. */
export async function startOrigin(site: Site): Promise<Contestant> {
  const root = join(site.folder, 'root');
  await mkdir(root, { recursive: true });
  for (const [name, bytes] of Object.entries(bodyBytes)) await writeFile(join(root, name), 'x'.repeat(bytes));
  const listens = site.originPorts.map((port) => `listen ${host}:${port};`).join(' ');
  const http = (port: number) =>
    `  open_file_cache max=10; default_type text/plain;
  server {
    ${listens} listen ${host}:${port}; root ${root};
    # What might include something has no length before it is sent.
    location /streamed { ssi on; ssi_types *; }
  }`;
  return launch('origin', site, 'nginx', (port, own) => nginxShell(own, http(port)), nginxArgs);
}

export function startNginx(site: Site): Promise<Contestant> {
  const servers = site.originPorts.map((port) => `server ${host}:${port} max_fails=3;`).join(' ');
  const http = (
    port: number,
  ) => `  upstream origin { least_conn; ${servers} keepalive 128; keepalive_requests 100000000; }
  server {
    listen ${host}:${port};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    }
  }`;
  return launch('nginx', site, 'nginx', (port, own) => nginxShell(own, http(port)), nginxArgs);
}

export function startHaproxy(site: Site): Promise<Contestant> {
  const servers = site.originPorts
    .map((port, index) => `  server s${index} ${host}:${port} check`)
    .join('\n');
  const config = (port: number) => `global
  nbthread 1
  maxconn 9500
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option forwardfor
  option redispatch
  retries 3
frontend in
  bind ${host}:${port}
  default_backend origin
backend origin
  balance leastconn
  http-reuse always
  option httpchk GET /small
${servers}
`;
  return launch('haproxy', site, 'haproxy', config, (file) => ['-f', file, '-db']);
}

export function startApache(site: Site): Promise<Contestant> {
  const modules = [
    'mpm_event',
    'authz_core',
    'proxy',
    'proxy_http',
    'proxy_balancer',
    'lbmethod_bybusyness',
    'slotmem_shm',
    'proxy_hcheck',
    'status',
    'reqtimeout',
  ];
  const members = site.originPorts
    .map(
      (port) =>
        `  BalancerMember http://${host}:${port} keepalive=On ttl=60 hcmethod=GET hcuri=/small hcinterval=2`,
    )
    .join('\n');
  const config = (port: number, own: string) => `ServerRoot ${own}
ServerName localhost
DefaultRuntimeDir ${own}
PidFile ${own}/pid
ErrorLog ${own}/error.log
LogLevel error
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
User www-data
Group www-data
Listen ${host}:${port}
StartServers 1
ServerLimit 4
ThreadsPerChild 128
ThreadLimit 128
MaxRequestWorkers 512
MinSpareThreads 64
MaxSpareThreads 512
AsyncRequestWorkerFactor 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
<Proxy balancer://origin>
${members}
  ProxySet lbmethod=bybusyness
</Proxy>
ProxyPass / balancer://origin/
ProxyAddHeaders On
ExtendedStatus On
`;
  return launch('apache', site, '/usr/sbin/apache2', config, (file) => ['-f', file, '-DFOREGROUND']);
}

/** @param env for the services: tracing, profiles. */
export async function startNemuri(
  site: Site,
  name: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Contestant> {
  const port = await freePort(host);
  const own = join(site.folder, name);
  await mkdir(own, { recursive: true });
  const configFile = join(own, 'nemuri.yaml');
  const servers = Object.fromEntries(
    site.originPorts.map((originPort, index) => [
      `s${index}`,
      { pool: 'web', url: `http://${host}:${originPort}`, capacityRps: 50_000, maxInFlight: 4_096 },
    ]),
  );
  const pools = {
    web: { minServers: site.originPorts.length, healthCheck: { probe: { kind: 'http', path: '/small' } } },
  };
  // Idle connections stay as long as the rivals keep theirs.
  const proxy = { keepAliveTimeoutMs: 75_000 };
  await writeFile(configFile, JSON.stringify({ version: 1, pools, servers, proxy }));
  let said = '';
  const stack = await startStack({
    distDir: resolve('dist'),
    configFile,
    storeDir: join(own, 'store'),
    listen: `${host}:${port}`,
    adminListen: `${host}:0`,
    env,
    onLine: (source, line) => {
      said = `${said}${source}: ${line}\n`.slice(-4_000);
    },
  });
  const stop = () => stack.stop();
  try {
    await untilServing(port);
  } catch (error) {
    await stop();
    throw new Error(`nemuri does not serve:\n${said}`, { cause: error });
  }
  return { name, port, pids: () => familyOf(stack.services.proxy.pid ?? 0), stop };
}

export async function untilServing(port: number): Promise<void> {
  const deadlineMs = Date.now() + startTimeoutMs;
  for (;;) {
    try {
      const response = await fetch(`http://${host}:${port}/small`, { signal: AbortSignal.timeout(1_000) });
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (Date.now() > deadlineMs) throw error;
    }
    await delay(50);
  }
}
