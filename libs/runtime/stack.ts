import { join } from 'node:path';
import { type Bus, connectJetStreamBus } from '../bus/mod.ts';
import type { FleetConfig } from '../events/mod.ts';
import { type ConfigProblem, formatProblem } from './config.ts';
import { watchConfig } from './configSource.ts';
import { freePort } from './freePort.ts';
import { ensureNatsServer, type NatsServer, startNatsServer } from './natsServer.ts';
import { type ProcessSpec, type SupervisedProcess, supervise } from './supervisor.ts';
import { tracingWanted } from './telemetry.ts';

export const serviceNames = ['health', 'power', 'planner', 'proxy'] as const;
export type ServiceName = (typeof serviceNames)[number];

export interface StackOptions {
  /** The folder that holds `services/<name>/main.js`. */
  readonly distDir: string;
  readonly configFile: string;
  /** An existing bus; left out: a nats-server of our own, its store in `storeDir`. */
  readonly natsUrl?: string;
  readonly storeDir: string;
  /** Port of our own nats-server; left out: a free one. */
  readonly natsPort?: number;
  /** `host:port` of the proxy; port 0 is a free one. */
  readonly listen: string;
  /** `host:port` of the console; left out: there is none. */
  readonly consoleListen?: string;
  /** Another program in a service's place, e.g. a planner to compare ours with. */
  readonly scripts?: Partial<Record<ServiceName, string>>;
  /** `host:port` for each admin address; left out: each service's default. */
  readonly adminListen?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** One line of a service's log, or of ours. */
  readonly onLine: (source: string, line: string) => void;
}

export interface Stack {
  readonly natsUrl: string;
  /** Our own nats-server; undefined on an existing bus. */
  readonly nats: NatsServer | undefined;
  readonly bus: Bus;
  readonly services: Readonly<Record<ServiceName, SupervisedProcess>>;
  /** Undefined where none was asked for. */
  readonly console: SupervisedProcess | undefined;
  /** Ends everything it started, proxies first, the bus last. */
  stop(): Promise<void>;
}

/** The configuration file at the start is not valid. */
export class InvalidConfigError extends Error {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'InvalidConfigError';
    this.problems = problems;
  }
}

const stopTimeoutMs = 35_000;
const natsWatchIntervalMs = 250;

/**
 * All of Nemuri on one machine: the bus (our own nats-server unless one is given), the configuration file taken into
 * the history and watched, the four services and the console, each a process of its own that is started again when it ends.
 * @throws InvalidConfigError when the file is not valid now; Error when nats-server is missing and can't be installed.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { onLine } = options;
  const nats = options.natsUrl ? undefined : await ownNats(options);
  const natsUrl = options.natsUrl ?? nats?.server.url ?? '';
  const bus = await connectJetStreamBus({
    servers: natsUrl.split(','),
    source: '/nemuri/supervisor',
    name: 'supervisor',
    onProblem: (problem) => onLine('supervisor', `bus: ${problem.message}`),
  });
  const abort = new AbortController();
  const stopBus = async () => {
    abort.abort();
    await bus.close();
    await nats?.stop();
  };
  try {
    await takeConfig(options, bus, abort.signal);
  } catch (error) {
    await stopBus();
    throw error;
  }
  const tracing = await ownTracing(options);
  const superviseService = (name: ServiceName | 'console') =>
    supervise(serviceSpec(options, name, natsUrl, tracing));
  const services = Object.fromEntries(serviceNames.map((name) => [name, superviseService(name)])) as Record<
    ServiceName,
    SupervisedProcess
  >;
  const console = options.consoleListen === undefined ? undefined : superviseService('console');
  return {
    natsUrl,
    nats: nats?.server,
    bus,
    services,
    console,
    async stop() {
      await Promise.all([services.proxy.stop(stopTimeoutMs), console?.stop(stopTimeoutMs)]);
      await Promise.all(serviceNames.map((name) => services[name].stop(stopTimeoutMs)));
      await stopBus();
    },
  };
}

/**
 * Where spans go: to the console, unless the environment names another place or wants none.
 * @returns variables for every service, and for the console alone.
 */
async function ownTracing(
  options: StackOptions,
): Promise<Record<'every' | 'console', Readonly<Record<string, string>>>> {
  const env = { ...process.env, ...options.env };
  const isDecided = tracingWanted(env) || env.OTEL_TRACES_EXPORTER || env.OTEL_SDK_DISABLED;
  if (options.consoleListen === undefined || isDecided) return { every: {}, console: {} };
  const place = `127.0.0.1:${await freePort('127.0.0.1')}`;
  return {
    every: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://${place}`, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    console: { NEMURI_OTLP_LISTEN: place },
  };
}

function serviceSpec(
  options: StackOptions,
  name: ServiceName | 'console',
  natsUrl: string,
  tracing: Awaited<ReturnType<typeof ownTracing>>,
): ProcessSpec {
  return {
    name,
    script:
      (name === 'console' ? undefined : options.scripts?.[name]) ??
      join(options.distDir, 'services', name, 'main.js'),
    env: {
      ...options.env,
      NEMURI_NATS_URL: natsUrl,
      NEMURI_NAME: name,
      ...(name === 'proxy' ? { NEMURI_LISTEN: options.listen } : {}),
      ...(name === 'console'
        ? { NEMURI_CONSOLE_LISTEN: options.consoleListen, ...tracing.console }
        : tracing.every),
      ...(options.adminListen === undefined ? {} : { NEMURI_ADMIN_LISTEN: options.adminListen }),
    },
    onLine: (line) => options.onLine(name, line),
  };
}

/** Applies the file, and goes on watching it. */
async function takeConfig(options: StackOptions, bus: Bus, signal: AbortSignal): Promise<FleetConfig> {
  const say = (line: string) => options.onLine('supervisor', line);
  return new Promise((resolve, reject) => {
    watchConfig({
      file: options.configFile,
      bus,
      signal,
      onApplied: (config, { published }) => {
        say(published ? 'configuration applied' : 'configuration unchanged');
        resolve(config);
      },
      onRefused: (problems) => {
        reject(new InvalidConfigError(problems));
        say(`configuration refused, the old one stays:\n${problems.map(formatProblem).join('\n')}`);
      },
      onProblem: (problem, details) => say(`${problem} ${JSON.stringify(details)}`),
    }).catch(reject);
  });
}

/** Our own nats-server, started again when it dies. */
async function ownNats(options: StackOptions): Promise<{ server: NatsServer; stop(): Promise<void> }> {
  const say = (line: string) => options.onLine('nats-server', line);
  const binary = await ensureNatsServer({ log: say });
  const server = await startNatsServer({
    binary,
    storeDir: options.storeDir,
    ...(options.natsPort === undefined ? {} : { port: options.natsPort }),
  });
  let restarting: Promise<void> | undefined;
  const watch = setInterval(() => {
    if (server.pid !== undefined || restarting) return;
    say('nats-server has ended; starting it again');
    restarting = server
      .restart()
      .catch((error) => say(`nats-server not started: ${error}`))
      .finally(() => {
        restarting = undefined;
      });
  }, natsWatchIntervalMs);
  return {
    server,
    async stop() {
      clearInterval(watch);
      await restarting;
      await server.stop();
    },
  };
}
