import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../libs/runtime/freePort.ts';
import { ensureNatsServer } from '../../libs/runtime/natsServer.ts';
import { type Stack, startStack } from '../../libs/runtime/stack.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import type { LoadResult } from '../load/openLoop.ts';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { dayRack, daySettings, peakShare } from '../rack/day.ts';
import { type Rack, startRack } from '../rack/rack.ts';
import { makeGuardedFolder } from './guardedFolder.ts';
import type { DemoOptions } from './options.ts';
import { type DemoReport, demoReport } from './report.ts';
import { type DemoView, openDemoView } from './view.ts';

/** A running demo, as the screen and the tests see it. */
export interface Demo {
  readonly rack: Rack;
  readonly stack: Stack;
  readonly view: DemoView;
  readonly address: string;
  /** Where the console is. */
  readonly console: string;
  /** What the load generator last said. */
  readonly load: LoadResult;
  readonly startedMs: number;
  /** Resolves when the day is over or `end` was called, and the last request is answered. */
  readonly finished: Promise<DemoReport>;
  /** Ends the day early. */
  end(): void;
  /** Stops every process; nothing is left running or left behind. */
  close(): Promise<void>;
}

const noLoad: LoadResult = {
  requests: 0,
  failed: 0,
  causes: {},
  latencyMs: { p50: 0, p95: 0, p99: 0, max: 0 },
  maxSendLagMs: 0,
};
const readyTimeoutMs = 60_000;
const stopTimeoutMs = 35_000;
const passwordVariable = 'NEMURI_DEMO_BMC_PASSWORD';

/**
 * Builds the whole: a virtual rack, nats-server, the four services, the console, and the load. Resolves when every server is
 * ready and the load has begun; from there the energy counts.
 * @param distDir the folder with the built `services/` and `lab/`.
 * @param say one line for each step, for people who wait.
 */
export async function startDemo(
  options: DemoOptions,
  distDir: string,
  say: (line: string) => void,
): Promise<Demo> {
  await ensureNatsServer({ log: say });
  const guarded = await makeGuardedFolder('demo', distDir);
  const folder = guarded.path;
  const cleanUps: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  };
  try {
    cleanUps.push(guarded.remove);
    say(`starting ${options.servers} machines and their BMCs`);
    const originScript = join(distDir, 'lab/rack/origin.js');
    const rack = await startRack({
      ...dayRack(options.servers, options.seed, options.seconds),
      directory: folder,
      originScript,
    });
    cleanUps.push(() => rack.stop());
    const { stack, address, console } = await startServices(options, rack, folder, distDir, cleanUps);
    const view = await openDemoView(stack.bus, Date.now);
    cleanUps.push(() => view.close());
    say(`watch it on the console: ${console}`);
    say('waiting until every server is ready');
    await view.whenFleet(({ servers }) => {
      const states = Object.values(servers);
      return states.length === options.servers && states.every(({ lifecycle }) => lifecycle === 'ready');
    }, AbortSignal.timeout(readyTimeoutMs));
    await untilAnswered(address, AbortSignal.timeout(readyTimeoutMs));
    return beginDay({ options, rack, stack, view, address, console, distDir, cleanUps, close });
  } catch (error) {
    await close();
    throw error;
  }
}

async function startServices(
  options: DemoOptions,
  rack: Rack,
  folder: string,
  distDir: string,
  cleanUps: (() => Promise<void>)[],
): Promise<{ stack: Stack; address: string; console: string }> {
  const configFile = join(folder, 'nemuri.yaml');
  const config = rackConfig(rack, { ...daySettings, password: `env:${passwordVariable}` });
  await writeFile(configFile, rackConfigYaml(config));
  const logs = options.keepLogs === undefined ? undefined : createWriteStream(options.keepLogs);
  if (logs) cleanUps.push(() => new Promise((resolve) => logs.end(() => resolve())));
  const listen = await placeOf(options.listen);
  const consoleListen = await placeOf(options.console);
  const stack = await startStack({
    distDir,
    configFile,
    storeDir: join(folder, 'nats'),
    listen,
    consoleListen,
    adminListen: '127.0.0.1:0',
    env: { [passwordVariable]: rack.password, NEMURI_LOG_LEVEL: options.keepLogs ? 'info' : 'warn' },
    onLine: (source, line) => void logs?.write(`${source} ${line}\n`),
  });
  cleanUps.push(() => stack.stop());
  return { stack, address: `http://${listen}`, console: `http://${consoleListen}` };
}

/** `host:port`, a free one in place of port 0. */
async function placeOf(listen: string): Promise<string> {
  return listen.endsWith(':0') ? `127.0.0.1:${await freePort('127.0.0.1')}` : listen;
}

interface Day {
  readonly options: DemoOptions;
  readonly rack: Rack;
  readonly stack: Stack;
  readonly view: DemoView;
  readonly address: string;
  readonly console: string;
  readonly distDir: string;
  readonly cleanUps: (() => Promise<void>)[];
  readonly close: () => Promise<void>;
}

function beginDay(day: Day): Demo {
  const { options, rack, stack, view, address, console, distDir } = day;
  const capacityRps = rack.servers.reduce((sum, server) => sum + server.capacityRps, 0);
  const args = {
    url: address,
    trace: options.trace,
    day: options.day,
    seconds: options.seconds,
    seed: options.seed,
    'peak-rps': capacityRps * peakShare,
  };
  const generator = fork(
    join(distDir, 'lab/load/main.js'),
    Object.entries(args).map(([name, value]) => `--${name}=${value}`),
    {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...process.env, NEMURI_LOG_LEVEL: 'silent' },
      detached: true,
    },
  );
  day.cleanUps.push(() => endProcess(generator, stopTimeoutMs));
  rack.resetEnergy();
  view.reset();
  let load = noLoad;
  let ended = false;
  const finished = new Promise<DemoReport>((resolve, reject) => {
    const report = () => {
      const { parked, counts } = view;
      const { seconds, servers, seed } = options;
      resolve(demoReport({ load, parked, energy: rack.energy(), counts, seconds, servers, seed }));
    };
    generator.on('message', (message: { kind: string; result: LoadResult }) => {
      load = message.result;
      if (message.kind === 'result') report();
    });
    // Ended before it had begun, it can't say a last word.
    generator.once('exit', (code, signal) =>
      ended ? report() : reject(new Error(`the load generator ended (${signal ?? code})`)),
    );
  });
  finished.catch(() => {});
  return {
    rack,
    stack,
    view,
    address,
    console,
    get load() {
      return load;
    },
    startedMs: Date.now(),
    finished,
    end() {
      ended = true;
      generator.kill('SIGTERM');
    },
    close: day.close,
  };
}

async function untilAnswered(address: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const response = await fetch(address, { signal }).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.ok) return;
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
