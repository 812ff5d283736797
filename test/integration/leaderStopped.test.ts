import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { daySettings } from '../../lab/rack/day.ts';
import { type Rack, startRack } from '../../lab/rack/rack.ts';
import { until } from '../../libs/bus/testing/until.ts';
import type { EventType, RecordedEvent } from '../../libs/events/mod.ts';
import { type CuttableProxy, openCuttableProxy } from '../../libs/runtime/cuttableProxy.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type Stack, startStack } from '../../libs/runtime/stack.ts';
import { type SupervisedProcess, supervise } from '../../libs/runtime/supervisor.ts';

/**
 * Two replicas of planner, power and health as real processes on a virtual rack. The leading power service is stopped
 * between its decision to switch a server off and the command to the BMC; the other takes over, and the server is
 * wanted again; then the first goes on. Needs `npm run build`. `LEADER_STOPPED_MS=60000` stops it for a minute.
 */

const stoppedMs = Number(process.env.LEADER_STOPPED_MS ?? 0);
const patienceMs = 20_000;
const leaderLeaseMs = 1_000;
const target = 'server-1';

let folder: string;
let rack: Rack;
let relay: CuttableProxy;
let stack: Stack;
let view: FleetView;
const seconds: SupervisedProcess[] = [];
const events: RecordedEvent[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-leader-'));
  const times = { setupTimeMs: 600, poweringOnMs: 100, shutdownMs: 100 };
  rack = await startRack({ servers: 2, ...times, directory: folder, password: 'a secret of this test' });
  const bmc = new URL(rack.servers[0]?.bmcUrl ?? '');
  relay = await openCuttableProxy(Number(bmc.port));
  const config = rackConfigYaml(
    rackConfig(rack, {
      ...daySettings,
      password: 'env:TEST_BMC_PASSWORD',
      bounds: { ...daySettings.bounds, leaderLeaseMs, maxActionsPerMinute: 60 },
      redfish: { requestTimeoutMs: 90_000, gracefulOffTimeoutMs: 5_000, confirmTimeoutMs: 1_000 },
    }),
  );
  const configFile = join(folder, 'nemuri.yaml');
  await writeFile(configFile, config.replaceAll(`:${bmc.port}`, `:${relay.port}`));
  const env = { TEST_BMC_PASSWORD: 'a secret of this test', NEMURI_LOG_LEVEL: 'warn' };
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  stack = await startStack({
    distDir: 'dist',
    configFile,
    storeDir: join(folder, 'nats'),
    listen,
    adminListen: '127.0.0.1:0',
    env,
    onLine: () => undefined,
  });
  for (const name of ['planner', 'power', 'health']) {
    const more = {
      NEMURI_NATS_URL: stack.natsUrl,
      NEMURI_NAME: `${name}-b`,
      NEMURI_ADMIN_LISTEN: '127.0.0.1:0',
    };
    seconds.push(
      supervise({ name: `${name}-b`, script: `dist/services/${name}/main.js`, env: { ...env, ...more } }),
    );
  }
  const signal = AbortSignal.timeout(patienceMs);
  const all = [...Object.values(stack.services), ...seconds];
  await Promise.all(all.map((service) => service.whenStarted(signal)));
  view = await openFleetView({ bus: stack.bus, name: 'check', readOnly: true, onProblem: () => undefined });
  view.onChange((event) => void events.push(event));
}, 60_000);

afterAll(async () => {
  await view?.close();
  await Promise.all(seconds.map((service) => service.stop(10_000)));
  await stack?.stop();
  relay?.release();
  await relay?.close();
  await rack?.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function roleOf(service: SupervisedProcess): Promise<string> {
  const { admin } = await service.whenStarted(AbortSignal.timeout(patienceMs));
  const response = await fetch(`http://127.0.0.1:${admin.port}/readyz`);
  return ((await response.json()) as { role?: string }).role ?? '';
}

/** The replica that leads, and the other. */
async function replicasOf(name: 'planner' | 'power' | 'health') {
  const first = stack.services[name];
  const second = seconds.find((service) => service.name === `${name}-b`);
  if (!second) throw new Error(`no second ${name}`);
  const roles = await Promise.all([roleOf(first), roleOf(second)]);
  expect(roles.toSorted()).toEqual(['follower', 'leader']);
  return roles[0] === 'leader' ? { leader: first, follower: second } : { leader: second, follower: first };
}

const resets = () =>
  rack.bmcRequests(target).filter(({ method, path }) => method === 'POST' && /Reset$/.test(path)).length;
const order = (type: 'WakeOrdered' | 'SleepOrdered', server = target) =>
  stack.bus.publish({ type, data: { server, untilMs: Date.now() + 600_000, reason: 'test', by: 'test' } });
const happened = (type: EventType, since = 0) =>
  events.find(
    (event) =>
      event.type === type && event.sequence > since && 'server' in event.data && event.data.server === target,
  );
const lifecycle = () => view.fleet.servers[target]?.lifecycle;

test('a power service that was stopped before its command sends nothing when it goes on', async () => {
  await until(
    () => ['server-1', 'server-2'].every((name) => view.fleet.servers[name]?.lifecycle === 'ready'),
    patienceMs,
  );
  await order('WakeOrdered', 'server-2');
  const { leader, follower } = await replicasOf('power');
  await replicasOf('planner');
  await replicasOf('health');
  expect(resets()).toBe(0);

  const { sequence } = await order('SleepOrdered');
  await until(() => happened('ServerDrained', sequence) !== undefined, patienceMs);
  // From here on the BMC's answers wait: the command can't be sent before the driver has read what is.
  relay.hold();
  await until(() => happened('SleepAttempted', sequence) !== undefined, patienceMs);
  const attempt = happened('SleepAttempted', sequence);
  expect(attempt?.source).toBe(`/nemuri/power/${leader.name}`);
  leader.kill('SIGSTOP');
  const stoppedAtMs = performance.now();
  try {
    await until(async () => (await roleOf(follower)) === 'leader', patienceMs);
    expect(performance.now() - stoppedAtMs).toBeLessThan(leaderLeaseMs * 1.25 + 2_000);
    // Now it is wanted, and the new leader calls the sleep off.
    await order('WakeOrdered');
    relay.release();
    await until(() => lifecycle() === 'ready' && !view.fleet.servers[target]?.sleep, patienceMs);
    while (performance.now() - stoppedAtMs < stoppedMs) await pause(100);
  } finally {
    leader.kill('SIGCONT');
  }
  const before = resets();
  await until(async () => (await roleOf(leader)) === 'follower', patienceMs);
  // It has the answers now for which it waited, and has gone many rounds since.
  for (let round = 0; round < 20; round += 1) await roleOf(leader);
  const since = events.filter((event) => event.sequence > (attempt?.sequence ?? 0));
  const own = since.filter(({ source }) => source === attempt?.source).map(({ type }) => type);
  expect({ before, after: resets(), own }).toEqual({ before: 0, after: 0, own: [] });
  expect(rack.status(target).state).toBe('serving');
}, 180_000);
