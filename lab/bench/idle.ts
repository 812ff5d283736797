import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectJetStreamBus } from '../../libs/bus/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { startStack } from '../../libs/runtime/stack.ts';
import { readFlags } from '../commandLine.ts';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { startRack } from '../rack/rack.ts';
import { processNames, watchControlPlane } from '../trial/footprint.ts';

const help = `npm run bench:idle -- [options]

What the control plane itself takes when there is nothing to do: a virtual rack, default settings, no request. Processor
time and memory of each service and of the bus, after the fleet has gone to rest. The last line on stdout is the report
as one JSON object; exit code 1: together above 5 % of one core, or a service above 150 MB.

  --servers N  machines in the rack (default 8)
  --seconds N  that are measured (default 60)
`;
const limitShareOfCore = 0.05;
const limitBytes = 150e6;
const restTimeoutMs = 180_000;

const values = readFlags(help, {
  servers: { type: 'string', default: '8' },
  seconds: { type: 'string', default: '60' },
});
const servers = Number(values.servers);
const seconds = Number(values.seconds);
const say = (line: string) => void process.stderr.write(`${line}\n`);
const rounded = (value: number, digits: number) => Number(value.toFixed(digits));

const distDir = resolve(import.meta.dirname, '../..');
const folder = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
const cleanUps: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];

async function measure() {
  const rack = await startRack({
    servers,
    seed: 1,
    setupTimeMs: 2_000,
    directory: folder,
    originScript: join(distDir, 'lab/rack/origin.js'),
  });
  cleanUps.push(() => rack.stop());
  const configFile = join(folder, 'nemuri.yaml');
  const config = rackConfig(rack, {
    password: 'env:NEMURI_BENCH_BMC_PASSWORD',
    poolSettings: { minServers: 1, planner: { minAwakeMs: 0 } },
  });
  await writeFile(configFile, rackConfigYaml(config));
  const stack = await startStack({
    distDir,
    configFile,
    storeDir: join(folder, 'nats'),
    listen: `127.0.0.1:${await freePort('127.0.0.1')}`,
    adminListen: '127.0.0.1:0',
    env: { NEMURI_BENCH_BMC_PASSWORD: rack.password, NEMURI_LOG_LEVEL: 'warn' },
    onLine: (source, line) => say(`${source}: ${line}`),
  });
  cleanUps.push(() => stack.stop());
  const bus = await connectJetStreamBus({ servers: stack.natsUrl, source: '/nemuri/bench', name: 'bench' });
  cleanUps.push(() => bus.close());
  const view = await openFleetView({ bus, name: 'bench', readOnly: true, onProblem: () => {} });
  say('waiting for the fleet to go to rest');
  await view.when(({ servers: states }) => {
    const asleep = Object.values(states).filter(({ lifecycle }) => lifecycle === 'asleep');
    return asleep.length === servers - 1;
  }, AbortSignal.timeout(restTimeoutMs));
  await view.close();
  const controlPlane = watchControlPlane(stack);
  controlPlane.takeCpuSeconds();
  say(`at rest: ${servers - 1} of ${servers} asleep; measuring for ${seconds} s`);
  const startedMs = performance.now();
  await pause(seconds * 1_000);
  const used = controlPlane.takeCpuSeconds();
  const elapsedSeconds = (performance.now() - startedMs) / 1_000;
  const { residentKiB } = controlPlane.holdings();
  const each = processNames.map((name) => {
    const share = used[name] / elapsedSeconds;
    return [
      name,
      { shareOfCore: rounded(share, 4), megabytes: rounded((residentKiB[name] * 1_024) / 1e6, 1) },
    ] as const;
  });
  const shareOfCore = each.reduce((sum, [, own]) => sum + own.shareOfCore, 0);
  const isWithin =
    shareOfCore <= limitShareOfCore && each.every(([, { megabytes }]) => megabytes * 1e6 <= limitBytes);
  return { servers, seconds, isWithin, shareOfCore: rounded(shareOfCore, 4), ...Object.fromEntries(each) };
}

try {
  const report = await measure();
  process.stdout.write(
    `${JSON.stringify({ benchmark: 'idle', node: process.version, load1: loadavg()[0], ...report })}\n`,
  );
  process.exitCode = report.isWithin ? 0 : 1;
} finally {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
}
