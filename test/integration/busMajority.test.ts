import { busFindings } from '../../cli/doctor/judgeBus.ts';
import { type Bus, connectJetStreamBus, inspectBus } from '../../libs/bus/mod.ts';
import { type NatsCluster, startCluster } from '../../libs/bus/testing/cluster.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { draftOf, fleetConfig, sampleData } from '../../libs/domain/testing/builders.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { startPower } from '../../services/power/power.ts';
import { type FakeMachines, fakeMachines } from '../../services/power/testing/fakeMachine.ts';
import { contextOn } from '../../services/testing/harness.ts';

/**
 * Two of three nats-servers are killed. The third goes on accepting connections and, while it led a stream, even
 * answers for it, but nothing can be stored: to the power service that is a lost bus.
 */

const patienceMs = 90_000;
const limits = {
  replicas: 3,
  fleetMaxBytes: 16 << 20,
  telemetryMaxBytes: 16 << 20,
  snapshotsMaxBytes: 16 << 20,
};
const pulseMs = 500;

let cluster: NatsCluster;
const buses: Bus[] = [];
let power: RunningService | undefined;

const open = async (servers: readonly string[], source: string) => {
  const bus = await connectJetStreamBus({ servers, source, limits, pulseMs });
  buses.push(bus);
  return bus;
};

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);
afterEach(async () => {
  await power?.stop();
  power = undefined;
  await Promise.all(buses.splice(0).map((bus) => bus.close()));
}, 60_000);
afterAll(() => cluster?.close(), 60_000);

/** s1 serves; s2 and s3 sleep, and nobody wants them awake. */
async function begin(bus: Bus): Promise<FakeMachines> {
  const config = fleetConfig({
    servers: 3,
    pool: {
      minServers: 1,
      failAwake: 'pool',
      failAwakeAfterMs: 500,
      planner: { minAwakeMs: 0, leaseMs: 600_000 },
    },
    bounds: {
      reconcileIntervalMs: 50,
      busLostMs: 500,
      maxConcurrentWakes: 2,
      leaderLeaseMs: 2_000,
      minConfirmMs: 200,
    },
  });
  await bus.publish({ type: 'FleetConfigured', data: { config, origin: 'test' } });
  const machines = fakeMachines('off');
  machines.machine('s1').powerState = 'on';
  await bus.publish(draftOf('ServerPoweredOn'));
  await bus.publish(draftOf('ServerBecameHealthy'));
  for (const server of ['s2', 's3']) {
    await bus.publish(draftOf('ServerPoweredOff', { server }));
    await bus.publish(draftOf('SleepVerified', { server }));
  }
  const { inputs } = sampleData.CapacityDecided;
  const decision = {
    pool: 'web',
    target: ['s1'],
    inputs,
    forecastRps: 1,
    validForMs: 600_000,
    reason: 'test',
  };
  await bus.publish({ type: 'CapacityDecided', data: decision });
  return machines;
}

const commandsOf = (machines: FakeMachines) =>
  ['s1', 's2', 's3'].map((name) => machines.machine(name).commands);

test.each([
  ['the leader of the history', 0],
  ['another', 1],
])(
  'left alone, %s is a lost bus: fail awake, nothing sleeps, and with a majority all goes on',
  async (_name, step) => {
    const test = await open(cluster.urls, 'test');
    const kept = ((await cluster.whenWhole('FLEET')) + step) % 3;
    const url = cluster.urls[kept] ?? '';
    const [own, everywhere] = [await open([url], 'power'), await open(cluster.urls, 'planner')];
    const machines = await begin(test);
    power = await startPower(contextOn(own, 'power'), machines.make);
    await until(() => power?.leads?.() === true, patienceMs);
    expect(power.notReady()).toBeUndefined();
    const before = await test.lastSequence('FLEET');

    const others = cluster.servers.filter((_server, index) => index !== kept);
    await Promise.all(others.map((server) => server.kill('SIGKILL')));
    await until(() => own.lostSinceMs !== undefined && everywhere.lostSinceMs !== undefined, patienceMs);
    expect(power.notReady()).toMatch(
      /^the bus is lost: .*(no majority|no leader|does not answer|nobody answers)/,
    );
    const facts = await inspectBus({ servers: [url], timeoutMs: 2_000, nowMs: Date.now });
    const findings = busFindings('bus', facts, undefined).filter(({ level }) => level === 'error');
    expect(findings.map(({ mend }) => mend)).toContainEqual(expect.stringContaining('more than half'));
    // The floor is there; the policy wants all of the pool.
    await until(() => ['s2', 's3'].every((name) => machines.machine(name).powerState === 'on'), patienceMs);

    await Promise.all(others.map((server) => server.restart()));
    const returned = [own, everywhere, test].map((bus) =>
      until(() => bus.lostSinceMs === undefined, patienceMs),
    );
    await Promise.all(returned);
    await until(() => power?.notReady() === undefined && power?.leads?.() === true, patienceMs);
    const told: RecordedEvent[] = [];
    await test.subscribe({
      stream: 'FLEET',
      startAt: { sequence: before + 1 },
      onEvent: (event) => void told.push(event),
    });
    await until(() => told.some(({ type }) => type === 'FailAwakeStarted'), patienceMs);
    expect(told.find(({ type }) => type === 'FailAwakeStarted')?.data).toMatchObject({ cause: 'bus' });
    expect(commandsOf(machines)).toEqual([[], ['wake'], ['wake']]);
  },
  400_000,
);
