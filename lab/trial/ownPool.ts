import { createHash } from 'node:crypto';
import { stringify } from 'yaml';
import {
  type Capability,
  capabilitiesOf,
  type EnergyModel,
  type FleetConfig,
  type PoolConfig,
  type ServerConfig,
} from '../../libs/events/mod.ts';
import { formatProblem, parseConfig, readConfigFile } from '../../libs/runtime/config.ts';
import type { OwnOptions } from './options.ts';
import type { MeterErrors } from './result.ts';

/** One machine of the user's: what Nemuri can do with it, by which drivers. */
export interface OwnServer {
  readonly capacityRps: number;
  readonly energy: EnergyModel;
  readonly wakesBy: readonly string[];
  readonly sleepsBy: readonly string[];
  readonly metersBy: readonly string[];
}

/** What of a run is the user's own; kept with it, and without any secret. */
export interface OwnParameters extends MeterErrors {
  readonly pool: string;
  /** As a client would spell it. */
  readonly url: string;
  readonly latencyObjectiveMs: number;
  readonly minServers: number;
  readonly servers: Readonly<Record<string, OwnServer>>;
  /** Of the configuration that was run: a run is gone on with only under the same. */
  readonly configSha256: string;
}

/** The user's pool as a trial runs it. */
export interface OwnPool {
  readonly parameters: OwnParameters;
  /** The configuration that is run, as YAML. */
  readonly yaml: string;
  readonly config: FleetConfig;
}

const dayMs = 86_400_000;
const leastDayMs = 60_000;

/** @throws Error naming what is wrong with the file, or the option, with key, rule and value. */
export async function readOwnPool(own: OwnOptions, speed: number): Promise<OwnPool> {
  const text = await readConfigFile(own.config);
  return ownPoolOf(valid(text, own.config), own, speed);
}

function valid(text: string, file: string): FleetConfig {
  const result = parseConfig(text, { file });
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.config;
}

/**
 * One pool of a configuration, alone: other pools are neither served nor switched. What needs the bus or the clients of
 * production is left out of it: agents, webhooks, the access log, the redirect to HTTPS, the PROXY protocol.
 */
export function ownPoolOf(whole: FleetConfig, own: OwnOptions, speed: number): OwnPool {
  const pool = poolNamed(whole, own.pool);
  const settings = whole.pools[pool];
  if (!settings) throw new Error(`--pool must be a pool of the configuration (got "${pool}")`);
  const servers = Object.entries(whole.servers)
    .filter(([, server]) => server.pool === pool)
    .map(([name, server]) => [name, withoutAgent(server)] as const);
  if (servers.length === 0)
    throw new Error(`pools.${pool} must have at least one server to be tried (got 0)`);
  const yaml = stringify({
    ...whole,
    pools: { [pool]: replayed(settings, speed) },
    servers: Object.fromEntries(servers),
    notifications: {},
    proxy: {
      ...whole.proxy,
      redirectToHttps: false,
      proxyProtocol: {},
      accessLog: { ...whole.proxy.accessLog, format: 'off' },
    },
  });
  const config = valid(yaml, own.config);
  const { meterErrorPercent, modelErrorPercent } = config.costs;
  const parameters: OwnParameters = {
    pool,
    url: urlOf(settings, pool, own.url),
    latencyObjectiveMs: settings.latencyObjectiveMs,
    minServers: settings.minServers,
    meterErrorPercent,
    modelErrorPercent,
    servers: Object.fromEntries(servers.map(([name, server]) => [name, ownServer(server)])),
    configSha256: createHash('sha256').update(yaml).digest('hex'),
  };
  return { parameters, yaml, config };
}

function poolNamed({ pools }: FleetConfig, wanted: string | undefined): string {
  const names = Object.keys(pools);
  const [only = ''] = names;
  if (wanted === undefined && names.length === 1) return only;
  if (wanted !== undefined && Object.hasOwn(pools, wanted)) return wanted;
  const got = wanted === undefined ? 'nothing' : `"${wanted}"`;
  throw new Error(`--pool must be one of the pools of the configuration: ${names.join(', ')} (got ${got})`);
}

function withoutAgent(server: ServerConfig): ServerConfig {
  return { ...server, power: server.power.filter(({ driver }) => driver !== 'agent') };
}

/** A day of the load is as long as the series makes it; all else stays as the user has it. */
function replayed(pool: PoolConfig, speed: number): PoolConfig {
  if (speed === 1) return pool;
  const planner = { ...pool.planner, dayMs: Math.max(leastDayMs, Math.round(dayMs / speed)) };
  return { ...pool, planner };
}

function ownServer({ power, capacityRps, energy }: ServerConfig): OwnServer {
  const by = (capability: Capability) =>
    power.filter((method) => capabilitiesOf(method).has(capability)).map(({ driver }) => driver);
  return { capacityRps, energy, wakesBy: by('wake'), sleepsBy: by('sleep'), metersBy: by('meter') };
}

/** What the requests ask for: by the option, else the beginning of the pool's first route. */
function urlOf({ routes }: PoolConfig, pool: string, wanted: string | undefined): string {
  const [first] = routes;
  const host = first?.host ?? 'localhost';
  const path = wanted ?? first?.pathPrefix ?? '/';
  const whole = path.startsWith('/') ? `http://${host}${path}` : path;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new Error(`--url must be a path, or http://host/path (got "${wanted}")`);
  }
  const isOurs = routes.some(
    (route) =>
      (route.host === undefined || route.host.toLowerCase() === url.hostname) &&
      `${url.pathname}/`.startsWith(route.pathPrefix.replace(/\/?$/, '/')),
  );
  if (isOurs) return url.href;
  const places = routes.map((route) => `${route.host ?? 'any host'}${route.pathPrefix}`).join(', ');
  throw new Error(`--url must be a place of pools.${pool}.routes: ${places} (got "${url.href}")`);
}
