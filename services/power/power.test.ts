import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventData, EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { startPower } from './power.ts';
import { type FakeMachines, fakeMachines, unreachable } from './testing/fakeMachine.ts';

const bounds = {
  reconcileIntervalMs: 20,
  meterIntervalMs: 20,
  busLostMs: 100,
  maxConcurrentWakes: 1,
  proxyLeaseMs: 60_000,
  healthLeaseMs: 60_000,
};
const pool = { minServers: 1, planner: { minAwakeMs: 0, leaseMs: 60_000 } };
const about = { server: 's1', pool: 'web' };

let harness: Harness;
let power: RunningService | undefined;
let machines: FakeMachines;

const isType =
  <T extends RecordedEvent['type']>(type: T, server?: string) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && (server === undefined || ('server' in event.data && event.data.server === server));

const next = <T extends RecordedEvent['type']>(type: T, server?: string, from?: number) =>
  harness.nextEvent('FLEET', isType(type, server), from);

async function start(servers: number, overrides: { bounds?: object; pool?: object; method?: object } = {}) {
  const config = fleetConfig({
    servers,
    pool: { ...pool, ...overrides.pool },
    bounds: { ...bounds, ...overrides.bounds },
    method: { confirmTimeoutMs: 200, tries: 2, ...overrides.method },
  });
  await harness.configure(config);
  power = await startPower(harness.context('power'), machines.make);
}

const inputs: EventData<'CapacityDecided'>['inputs'] = {
  nowRps: 1,
  levelRps: 1,
  keepRps: 1,
  risk: 0.001,
  horizonMs: 1,
  parked: 0,
  inFlight: 0,
  proxies: 1,
  observedForMs: 1,
  neededServers: 1,
  keptServers: 1,
  capacityRps: 1,
  countedServers: 1,
  floor: 1,
  spareServers: 0,
  headroom: 0,
  breakEvenMs: 1,
};

async function decide(...target: string[]): Promise<void> {
  const data = { pool: 'web', target, inputs, forecastRps: 1, validForMs: 60_000, reason: 'test' };
  await harness.publish({ type: 'CapacityDecided', data });
}

const latencyMs = { p50: 1, p95: 1, p99: 1, max: 1 };

/** One proxy and the health service are alive. */
async function witnesses(): Promise<void> {
  const data = {
    intervalMs: 50,
    arrivals: 0,
    completed: 0,
    failed: 0,
    rejected: 0,
    parked: 0,
    newlyParked: 0,
  };
  await harness.publish({
    type: 'LoadSampled',
    data: {
      ...data,
      pool: 'web',
      proxy: 'p1',
      parkedOldestMs: 0,
      inFlight: 0,
      latencyMs,
      stopping: false,
      servers: {},
    },
  });
  await harness.publish({
    type: 'ProbesSampled',
    data: { prober: 'health', intervalMs: 50, sent: 1, failed: 0, latencyMs },
  });
}

async function becomeReady(...servers: string[]): Promise<void> {
  for (const server of servers) {
    await next('ServerPoweredOn', server);
    await harness.publish({
      type: 'ServerBecameHealthy',
      data: { server, pool: 'web', latencyMs: 1, consecutive: 2 },
    });
  }
}

async function becomeAsleep(...servers: string[]): Promise<void> {
  for (const server of servers) {
    await next('ServerPoweredOff', server);
    await harness.publish({ type: 'SleepVerified', data: { server, pool: 'web', evidence: 'test' } });
  }
}

beforeEach(() => {
  harness = createHarness();
  machines = fakeMachines('on');
});

afterEach(async () => {
  await power?.stop();
  power = undefined;
  await harness.close();
});

test('wakes what the decision wants, within the inrush bound, each fact before its command', async () => {
  machines = fakeMachines('off');
  await start(2);
  await becomeAsleep('s1', 's2');
  await decide('s1', 's2');
  const first = await next('WakeRequested');
  await next('WakeAttempted', first.data.server);
  await next('ServerPoweredOn', first.data.server);
  const other = first.data.server === 's1' ? 's2' : 's1';
  expect(machines.machine(other).commands).toEqual([]);
  await harness.publish({
    type: 'ServerBecameHealthy',
    data: { server: first.data.server, pool: 'web', latencyMs: 1, consecutive: 2 },
  });
  await next('ServerPoweredOn', other);
  expect(machines.machine('s1').commands).toEqual(['wake']);
  expect(machines.machine('s2').commands).toEqual(['wake']);
});

test('puts a server to sleep only after every live proxy has drained it', async () => {
  await start(2);
  await becomeReady('s1', 's2');
  await witnesses();
  await decide('s2');
  const { data } = await next('SleepRequested', 's1');
  expect(machines.machine('s1').commands).toEqual([]);
  const drain = { ...about, proxy: 'p1', sleepId: data.sleepId };
  await harness.publish({ type: 'ServerDrained', data: { ...drain, elapsedMs: 5 } });
  await next('SleepAttempted', 's1');
  await next('ServerPoweredOff', 's1');
  expect(machines.machine('s1').commands).toEqual(['graceful']);
  expect(machines.machine('s2').commands).toEqual([]);
});

test('nothing sleeps without a live proxy and a live health service', async () => {
  await start(2);
  await becomeReady('s1', 's2');
  await decide('s2');
  await harness.publish({
    type: 'ServerCordoned',
    data: { server: 's2', reason: 'a later event', by: 'test' },
  });
  await harness.nextEvent('TELEMETRY', isType('PowerMetered'));
  expect(power?.fleet().servers.s1?.lifecycle).toBe('ready');
  expect(machines.machine('s1').commands).toEqual([]);
});

test('a decision that turns during the drain calls the sleep off', async () => {
  await start(2);
  await becomeReady('s1', 's2');
  await witnesses();
  await decide('s2');
  await next('SleepRequested', 's1');
  await decide('s1', 's2');
  await next('SleepCancelled', 's1');
  expect(machines.machine('s1').commands).toEqual([]);
});

test('a wake that the hardware refuses is named and tried again', async () => {
  machines = fakeMachines('off');
  await start(1);
  await becomeAsleep('s1');
  machines.machine('s1').failure = unreachable();
  await decide('s1');
  const failed = await next('WakeAttemptFailed', 's1');
  expect(failed.data.error).toContain('the BMC does not answer');
  machines.machine('s1').failure = undefined;
  await next('ServerPoweredOn', 's1');
});

test('a machine that takes the wake and stays off climbs its ladder and is quarantined', async () => {
  machines = fakeMachines('off');
  await start(1);
  await becomeAsleep('s1');
  machines.machine('s1').lies = true;
  await decide('s1');
  await next('WakeTimedOut', 's1');
  const { data } = await next('ServerQuarantined', 's1');
  expect(data.reason).toContain('wake failed 1 times');
  expect(machines.machine('s1').commands).toEqual(['wake', 'wake']);
});

test('hardware that can’t be read has an unknown power state, by name', async () => {
  await start(1);
  await becomeReady('s1');
  machines.machine('s1').failure = unreachable();
  await next('PowerStateLost', 's1');
  machines.machine('s1').failure = undefined;
  const lost = await next('PowerStateLost', 's1');
  await next('ServerPoweredOn', 's1', lost.sequence);
});

test('a button pressed by hand is drift, and the floor is woken again', async () => {
  await start(1);
  await becomeReady('s1');
  await decide('s1');
  machines.machine('s1').powerState = 'off';
  const drift = await next('PowerDriftDetected', 's1');
  expect(drift.data).toMatchObject({ expected: 'on', observed: 'off', lifecycle: 'ready' });
  await next('WakeAttempted', 's1');
});

test('without the bus the floor, then the pool, is woken by the hardware directly', async () => {
  machines = fakeMachines('off');
  await start(3, { pool: { failAwake: 'pool', failAwakeAfterMs: 150 }, bounds: { maxConcurrentWakes: 3 } });
  await becomeAsleep('s1', 's2', 's3');
  harness.store.setReachable(false);
  const isOn = (server: string) => machines.machine(server).powerState === 'on';
  const floorWoken = until(() => ['s1', 's2', 's3'].some(isOn));
  await floorWoken;
  expect(['s1', 's2', 's3'].filter(isOn)).toHaveLength(1);
  await until(() => ['s1', 's2', 's3'].every(isOn));
  harness.store.setReachable(true);
});

test('meters are measured where there is one, modelled and labelled so where not', async () => {
  await start(2);
  machines.machine('s2').powerWatts = undefined;
  const metered = (server: string) => harness.nextEvent('TELEMETRY', isType('PowerMetered', server));
  expect((await metered('s1')).data).toMatchObject({
    powerWatts: 150,
    meter: 'measured',
    meterSource: 'fake meter',
  });
  expect((await metered('s2')).data).toMatchObject({ meter: 'modelled' });
});

test('a restarted service knows what the last one knew and repeats no wake', async () => {
  machines = fakeMachines('off');
  await start(1);
  await becomeAsleep('s1');
  await decide('s1');
  await next('ServerPoweredOn', 's1');
  const before = power?.fleet().servers;
  await power?.stop();
  power = await startPower(harness.context('power'), machines.make);
  expect(power.fleet().servers).toEqual(before);
  await harness.publish({ type: 'ServerBecameHealthy', data: { ...about, latencyMs: 1, consecutive: 2 } });
  await harness.nextEvent('TELEMETRY', isType('PowerMetered'));
  expect(machines.machine('s1').commands).toEqual(['wake']);
});

/** Resolves when the condition holds; looks each time the event loop has come round. Rejects after 5 s. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error('the condition never held');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
