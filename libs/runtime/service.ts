import fastify from 'fastify';
import { type Bus, connectJetStreamBus } from '../bus/mod.ts';
import type { Fleet } from '../domain/mod.ts';
import { busLogin } from './busLogin.ts';
import { type Chance, type Clock, systemChance, systemClock } from './clock.ts';
import { messageOf } from './errors.ts';
import { createLogger, type Logger } from './log.ts';
import { type MetricSample, processSamples, renderPrometheus, watchEventLoop } from './metrics.ts';
import { startTelemetry, type Telemetry } from './telemetry.ts';
import { packageVersion } from './version.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** What a service is told by its environment. Everything else comes from the history (`FleetConfigured`). */
export interface ServiceSettings {
  readonly service: string;
  /** This replica's name: one token of a subject. */
  readonly name: string;
  readonly natsUrls: readonly string[];
  /** Copies of each stream in the cluster; undefined: as it is, or one. */
  readonly natsReplicas?: number;
  readonly adminHost: string;
  readonly adminPort: number;
  readonly logLevel: string;
  readonly stopTimeoutMs: number;
}

/** Where each service answers on 127.0.0.1 unless NEMURI_ADMIN_LISTEN says otherwise. */
export const adminPorts: Readonly<Record<string, number>> = {
  proxy: 8081,
  planner: 8082,
  power: 8083,
  health: 8084,
  agent: 8085,
  console: 8086,
};

/**
 * Reads a service's settings: `NEMURI_NATS_URL` (comma-separated; who we are there: `busLogin`), `NEMURI_NATS_REPLICAS`,
 * `NEMURI_NAME`, `NEMURI_ADMIN_LISTEN` (`host:port`), `NEMURI_LOG_LEVEL`, `NEMURI_STOP_TIMEOUT_MS`.
 * @throws Error naming the variable, the rule and the value.
 */
export function serviceSettings(service: string, env: Environment): ServiceSettings {
  const listen = env.NEMURI_ADMIN_LISTEN ?? `127.0.0.1:${adminPorts[service] ?? 8080}`;
  const { host, port } = parseListen('NEMURI_ADMIN_LISTEN', listen);
  const name = env.NEMURI_NAME ?? service;
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
    throw new Error(`NEMURI_NAME must be a DNS label (got "${name}")`);
  }
  const stopTimeoutMs = Number(env.NEMURI_STOP_TIMEOUT_MS ?? 30_000);
  if (!(stopTimeoutMs > 0)) {
    throw new Error(`NEMURI_STOP_TIMEOUT_MS must be a number above 0 (got "${env.NEMURI_STOP_TIMEOUT_MS}")`);
  }
  const replicas = natsReplicas(env);
  return {
    service,
    name,
    ...(replicas === undefined ? {} : { natsReplicas: replicas }),
    natsUrls: (env.NEMURI_NATS_URL ?? 'nats://127.0.0.1:4222').split(',').map((url) => url.trim()),
    adminHost: host,
    adminPort: port,
    logLevel: env.NEMURI_LOG_LEVEL ?? 'info',
    stopTimeoutMs,
  };
}

/**
 * Copies of each stream in a cluster, of `NEMURI_NATS_REPLICAS`; undefined: as they are.
 * @throws Error naming the variable, the rule and the value.
 */
export function natsReplicas({ NEMURI_NATS_REPLICAS: text }: Environment): number | undefined {
  if (text === undefined) return undefined;
  if (!['1', '3', '5'].includes(text))
    throw new Error(`NEMURI_NATS_REPLICAS must be 1, 3 or 5 (got "${text}")`);
  return Number(text);
}

/**
 * Splits `host:port`; an IPv6 host stands in brackets.
 * @throws Error naming the variable, the rule and the value.
 */
export function parseListen(variable: string, value: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (!host || port > 65_535) throw new Error(`${variable} must be host:port (got "${value}")`);
  return { host, port };
}

export interface ServiceContext {
  readonly settings: ServiceSettings;
  readonly bus: Bus;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly nowMs: () => number;
  readonly clock: Clock;
  readonly chance: Chance;
}

export interface RunningService {
  /** The fold this service works from; served at `/fleet`. */
  readonly fleet: () => Fleet;
  /** Of several replicas this one acts; left out: there is no leader among them. */
  readonly leads?: () => boolean;
  /** Why it can't do its work now; undefined: it is ready. */
  readonly notReady: () => string | undefined;
  /** What it counts, beside what every service says of itself; served at `/metrics` and exported by OTLP. */
  readonly metrics?: () => readonly MetricSample[];
  /** Finishes what is under way. Called once, before the bus is closed. */
  stop(): Promise<void>;
}

/** Why a service that works from the fleet can't do so now; undefined: it can. */
export function fleetReadiness(fleet: Fleet, bus: Bus): string | undefined {
  if (!fleet.config) return 'not configured: no FleetConfigured in the history';
  if (bus.lostSinceMs === undefined) return undefined;
  return bus.lostWhy === undefined ? 'the bus is lost' : `the bus is lost: ${bus.lostWhy}`;
}

/**
 * The life of one service process: telemetry, admin HTTP (`/healthz`, `/readyz`, `/fleet`, `/metrics`), bus, then `start`;
 * SIGTERM, SIGINT or the parent's end drain it and exit 0. A crash exits 1: whoever supervises starts it again,
 * and it resumes from snapshot and history.
 */
export async function runService(
  service: string,
  start: (context: ServiceContext) => Promise<RunningService>,
  settings: ServiceSettings = serviceSettings(service, process.env),
): Promise<void> {
  const log = createLogger(service, settings.name, settings.logLevel);
  const crash = (error: unknown) => {
    log.fatal({ err: error }, 'crashed');
    setTimeout(() => process.exit(1), 1_000).unref();
    log.flush(() => process.exit(1));
  };
  process.once('uncaughtException', crash);
  process.once('unhandledRejection', crash);
  const abort = new AbortController();
  let running: RunningService | undefined;
  let bus: Bus | undefined;
  let busProblem: string | undefined;
  const about = { service, name: settings.name, version: packageVersion() };
  const eventLoop = watchEventLoop();
  const collect = () => [
    ...processSamples(
      about,
      running?.notReady() === undefined && !!running,
      bus?.lostSinceMs === undefined && !!bus,
      eventLoop,
    ),
    ...(running?.metrics?.() ?? []),
  ];
  const telemetry = await startTelemetry(service, process.env, collect);
  const admin = await openAdmin(
    settings,
    () => ({ running, busProblem, stopping: abort.signal.aborted }),
    collect,
  );

  const stop = async (why: string) => {
    if (abort.signal.aborted) return;
    abort.abort();
    log.info({ why }, 'stopping');
    setTimeout(
      () => crash(new Error(`not stopped within ${settings.stopTimeoutMs} ms`)),
      settings.stopTimeoutMs,
    ).unref();
    await running?.stop();
    await bus?.close();
    await admin.close();
    await telemetry.stop();
    log.info('stopped');
    log.flush(() => process.exit(0));
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void stop(signal).catch(crash));
  process.on('disconnect', () => void stop('the parent process ended').catch(crash));

  bus = await connectJetStreamBus({
    servers: settings.natsUrls,
    ...(await busLogin(process.env)),
    source: `/nemuri/${service}/${settings.name}`,
    name: settings.name,
    ...(settings.natsReplicas === undefined ? {} : { limits: { replicas: settings.natsReplicas } }),
    onProblem: (problem) => {
      busProblem = messageOf(problem);
      log.warn({ error: busProblem }, 'bus');
    },
  });
  const surroundings = { nowMs: systemClock.nowMs, clock: systemClock, chance: systemChance };
  running = await start({ settings, bus, log, telemetry, ...surroundings });
  log.info({ admin: admin.server.address(), notReady: running.notReady() }, 'started');
  process.send?.({ kind: 'started', service, name: settings.name, admin: admin.server.address() });
}

async function openAdmin(
  settings: ServiceSettings,
  state: () => {
    running: RunningService | undefined;
    busProblem: string | undefined;
    stopping: boolean;
  },
  collect: () => readonly MetricSample[],
) {
  const admin = fastify({ forceCloseConnections: true });
  const { service, name } = settings;
  const version = packageVersion();
  admin.get('/healthz', async () => ({ service, name, status: 'alive', version, timeMs: Date.now() }));
  admin.get('/readyz', async (_request, reply) => {
    const { running, busProblem, stopping } = state();
    const starting = ['starting: waiting for the bus', ...(busProblem === undefined ? [] : [busProblem])];
    const why = stopping ? 'stopping' : running ? running.notReady() : starting.join(': ');
    const role = running?.leads && { role: running.leads() ? 'leader' : 'follower' };
    return why === undefined
      ? { status: 'ready', ...role }
      : reply.code(503).send({ status: 'not ready', why });
  });
  admin.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4').send(renderPrometheus(collect())),
  );
  admin.get('/fleet', async (_request, reply) => state().running?.fleet() ?? reply.code(503).send({}));
  try {
    await admin.listen({ host: settings.adminHost, port: settings.adminPort });
  } catch (error) {
    throw new Error(
      `NEMURI_ADMIN_LISTEN must be an address that is free (got ${settings.adminHost}:${settings.adminPort}: ${messageOf(error)})`,
    );
  }
  return admin;
}
