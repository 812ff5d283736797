import { fleetConfig, sampleData } from '../../libs/domain/testing/builders.ts';
import type { EventData, EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { startHealth } from './health.ts';

let harness: Harness;
let health: RunningService | undefined;

const s1 = { server: 's1', pool: 'web' };

async function start(bounds: object = {}): Promise<void> {
  const url = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
  const check = { intervalMs: 20, fastIntervalMs: 10, timeoutMs: 500 };
  const config = fleetConfig({
    servers: 1,
    pool: { healthCheck: check },
    server: { url },
    bounds: { heartbeatIntervalMs: 20, heartbeatLeaseMs: 60, ...bounds },
  });
  await harness.configure(config);
  health = await startHealth(harness.context('health'));
}

const beat = (change: Partial<EventData<'HeartbeatSent'>> = {}) =>
  harness.publish({ type: 'HeartbeatSent', data: { ...sampleData.HeartbeatSent, ...change } });

const next = <T extends RecordedEvent['type']>(type: T, from?: number) =>
  harness.nextEvent('FLEET', (event): event is EventOf<T> => event.type === type, from);

beforeEach(() => {
  harness = createHarness();
});

afterEach(async () => {
  await health?.stop();
  health = undefined;
  await harness.close();
});

test('a server that speaks, falls silent and speaks again', async () => {
  await start();
  await beat();
  const started = await next('HeartbeatStarted');
  expect(started.data).toEqual({ ...s1, bootId: 'b1', wish: 'ready' });
  const lost = await next('HeartbeatLost', started.sequence);
  expect(lost.data.silentMs).toBeGreaterThan(60);
  await beat();
  await next('HeartbeatStarted', lost.sequence);
});

test('what it wishes is a fact, once', async () => {
  await start({ heartbeatLeaseMs: 60_000 });
  await beat();
  await next('HeartbeatStarted');
  await beat({ wish: 'drain', weightPercent: 50 });
  const wished = await next('ServerWished');
  await beat({ wish: 'drain', weightPercent: 50 });
  await beat({ wish: 'ready' });
  const second = await next('ServerWished', wished.sequence + 1);
  expect(second.data).toEqual({ ...s1, wish: 'ready' });
});

test('another boot while it should serve is a reboot', async () => {
  await start({ heartbeatLeaseMs: 60_000 });
  await harness.publish({ type: 'ServerPoweredOn', data: s1 });
  await harness.publish({ type: 'ServerBecameHealthy', data: { ...s1, latencyMs: 1, consecutive: 2 } });
  await beat();
  await next('HeartbeatStarted');
  await beat({ bootId: 'b2' });
  expect((await next('ServerRebooted')).data).toMatchObject({ previousBootId: 'b1', bootId: 'b2' });
  expect(health?.fleet().servers.s1?.lifecycle).toBe('waking');
});

test('no sleep is proven while it speaks', async () => {
  await start({ heartbeatLeaseMs: 60_000, sleepProofTimeoutMs: 50 });
  await beat();
  await next('HeartbeatStarted');
  await harness.publish({ type: 'ServerPoweredOff', data: s1 });
  expect((await next('SleepContradicted')).data.evidence).toContain('heartbeat: heard');
});

test('silence is measured from the start of this process: what an older one heard is not lost at once', async () => {
  await start({ heartbeatLeaseMs: 60_000 });
  await harness.publish({ type: 'HeartbeatStarted', data: { ...s1, bootId: 'b1', wish: 'ready' } });
  await beat({ wish: 'maint' });
  const wished = await next('ServerWished');
  const types = harness.store.lastSequence('FLEET');
  expect(types).toBe(wished.sequence);
});

test('a server that is not configured is passed over', async () => {
  await start({ heartbeatLeaseMs: 60_000 });
  await beat({ server: 'constructor' });
  await beat();
  expect((await next('HeartbeatStarted')).data.server).toBe('s1');
});
