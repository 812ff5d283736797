import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { startPlanner } from './planner.ts';

let harness: Harness;
let planner: RunningService | undefined;

const isDecision = (event: RecordedEvent): event is EventOf<'CapacityDecided'> =>
  event.type === 'CapacityDecided';

async function start(pool: object = {}): Promise<void> {
  await harness.configure(
    fleetConfig({
      servers: 4,
      pool: { minServers: 1, ...pool, planner: { decideIntervalMs: 20, leaseMs: 1_000 } },
    }),
  );
  planner = await startPlanner(harness.context('planner'));
}

const latencyMs = { p50: 1, p95: 1, p99: 1, max: 1 };

async function sampled(arrivals: number, parked = 0, traceparent?: string): Promise<void> {
  await harness.publish({
    type: 'LoadSampled',
    data: {
      pool: 'web',
      proxy: 'p1',
      intervalMs: 1_000,
      arrivals,
      completed: arrivals,
      failed: 0,
      rejected: 0,
      parked,
      newlyParked: parked,
      parkedOldestMs: 0,
      inFlight: 0,
      latencyMs,
      stopping: false,
      servers: {},
    },
    ...(traceparent === undefined ? {} : { traceparent }),
  });
}

beforeEach(() => {
  harness = createHarness();
});

afterEach(async () => {
  await planner?.stop();
  planner = undefined;
  await harness.close();
});

test('decides at once, and without knowledge of the load keeps everything that is awake', async () => {
  await harness.configure(fleetConfig({ servers: 4, pool: { minServers: 1 } }));
  for (const server of ['s1', 's2', 's3', 's4']) {
    await harness.publish({ type: 'ServerPoweredOn', data: { server, pool: 'web' } });
  }
  await start();
  const { data } = await harness.nextEvent('FLEET', isDecision);
  expect(data.target).toEqual(['s1', 's2', 's3', 's4']);
  expect(data.reason).toContain('nothing sleeps: no proxy reports its load');
});

test('says in numbers why', async () => {
  await start();
  await sampled(50);
  const decided = (event: RecordedEvent): event is EventOf<'CapacityDecided'> =>
    isDecision(event) && event.data.inputs.proxies === 1;
  const { data } = await harness.nextEvent('FLEET', decided);
  expect(data.inputs.nowRps).toBeGreaterThan(0);
  expect(data.reason).toMatch(/^1 of 4 servers awake: up to [\d.]+ requests\/s/);
});

test('renews its lease before it ends', async () => {
  await start();
  const first = await harness.nextEvent('FLEET', isDecision);
  const second = await harness.nextEvent('FLEET', isDecision, first.sequence + 1);
  expect(second.timeMs - first.timeMs).toBeLessThan(first.data.validForMs);
});

test('a restarted planner has the load of before', async () => {
  await start();
  await sampled(120);
  await harness.nextEvent('FLEET', isDecision);
  await planner?.stop();
  planner = await startPlanner(harness.context('planner'));
  const last = await harness.bus.lastSequence('FLEET');
  const { data } = await harness.nextEvent('FLEET', isDecision, last + 1);
  expect(data.inputs.proxies).toBe(1);
  expect(data.inputs.nowRps).toBeGreaterThan(0);
});

test('a pool that is taken out of the configuration is decided on no more', async () => {
  await start();
  await harness.nextEvent('FLEET', isDecision);
  const config = fleetConfig({ servers: 1, pool: { planner: { decideIntervalMs: 20, leaseMs: 300 } } });
  const [pool] = Object.values(config.pools);
  const servers = Object.fromEntries(
    Object.entries(config.servers).map(([name, server]) => [name, { ...server, pool: 'shop' }]),
  );
  await harness.configure({ ...config, pools: pool ? { shop: pool } : {}, servers });
  const { data, sequence } = await harness.nextEvent(
    'FLEET',
    (event): event is EventOf<'CapacityDecided'> => isDecision(event) && event.data.pool === 'shop',
  );
  expect(data.target).toEqual(['s1']);
  const later = await harness.nextEvent('FLEET', isDecision, sequence + 1);
  expect(later.data.pool).toBe('shop');
});
