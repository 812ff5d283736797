import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fleetConfig, sampleData } from '../../libs/domain/testing/builders.ts';
import { type EventData, type EventOf, encode, type RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { startHealth } from './health.ts';

let harness: Harness;
let health: RunningService | undefined;
let origin: Server | undefined;

const s1 = { server: 's1', pool: 'web' };

beforeEach(() => {
  harness = createHarness();
});

afterEach(async () => {
  await health?.stop();
  health = undefined;
  origin?.closeAllConnections();
  origin?.close();
  origin = undefined;
  await harness.close();
});

async function listen(status = 200): Promise<string> {
  origin = createServer((_request, response) => response.writeHead(status).end());
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  return `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
}

const nowhere = async () => `http://127.0.0.1:${await freePort('127.0.0.1')}`;

/** A server that is ready by its history, whatever it is in truth. */
async function start(url: string, bounds: object = {}): Promise<void> {
  const healthCheck = { intervalMs: 20, fastIntervalMs: 10, timeoutMs: 500, rise: 2, fall: 2 };
  const quick = {
    heartbeatIntervalMs: 20,
    heartbeatLeaseMs: 400,
    contradictionConfirmMs: 30,
    contradictionSettleMs: 200,
    sleepProofTimeoutMs: 100,
  };
  await harness.configure(
    fleetConfig({ servers: 1, pool: { healthCheck }, server: { url }, bounds: { ...quick, ...bounds } }),
  );
  await harness.publish({ type: 'ServerPoweredOn', data: s1 });
  await harness.publish({ type: 'ServerBecameHealthy', data: { ...s1, latencyMs: 1, consecutive: 2 } });
  health = await startHealth(harness.context('health'));
}

const next = <T extends RecordedEvent['type']>(
  type: T,
  fits: (event: EventOf<T>) => boolean = () => true,
  from?: number,
) =>
  harness.nextEvent(
    'FLEET',
    (event): event is EventOf<T> => event.type === type && fits(event as EventOf<T>),
    from,
  );

const detected = (name: string) => next('ContradictionDetected', ({ data }) => data.contradiction === name);
const beat = (change: Partial<EventData<'HeartbeatSent'>> = {}) =>
  harness.publish({ type: 'HeartbeatSent', data: { ...sampleData.HeartbeatSent, ...change } });

/** Says it again and again, until what is waited for is there. */
async function saying<T>(say: () => Promise<void>, waited: Promise<T>): Promise<T> {
  const timer = setInterval(() => void say(), 20);
  try {
    return await waited;
  } finally {
    clearInterval(timer);
  }
}

test('ghost: on and silent, settled in its time', async () => {
  await start(await nowhere());
  const found = await detected('ghost');
  expect(found.data.evidence).toBe('ready; power on, heartbeat none, probe silent, traffic idle');
  const settled = await next('ContradictionSettled', ({ data }) => !data.agreed, found.sequence);
  expect(settled.timeMs - found.data.settleByMs).toBeLessThan(1_000);
  expect(settled.data.verdict).toMatch(/dead/);
});

test('half-dead: it answers, and not what was asked; over when it does', async () => {
  await start(await listen(500));
  const found = await detected('halfDead');
  await next('ServerBecameUnhealthy');
  origin?.removeAllListeners('request');
  origin?.on('request', (_request, response) => response.end('ok'));
  await next('ContradictionSettled', ({ data }) => data.agreed, found.sequence);
  await next('ServerBecameHealthy', undefined, found.sequence);
});

test('a power state that is only inferred from the probes is no witness beside them', async () => {
  await start(await listen());
  await harness.publish({ type: 'PowerReadingUnavailable', data: { ...s1, drivers: ['wol'] } });
  origin?.removeAllListeners('request');
  origin?.on('request', (_request, response) => response.writeHead(500).end());
  const { data } = await detected('halfDead');
  expect(data.evidence).toBe('ready; power unknown, heartbeat none, probe bad, traffic idle');
});

const isProbesSampled = (event: RecordedEvent): event is EventOf<'ProbesSampled'> =>
  event.type === 'ProbesSampled';

const load = (completed: number, failed: number, proxy = 'p1') => {
  const { latencyMs } = sampleData.LoadSampled;
  const servers = { s1: { inFlight: 0, completed, failed, latencyMs } };
  return harness.publish({ type: 'LoadSampled', data: { ...sampleData.LoadSampled, proxy, servers } });
};

test('split view: the prober can not reach what the proxies can; it is kept until the verdict', async () => {
  await start(await listen());
  await load(9, 0);
  await harness.nextEvent('TELEMETRY', isProbesSampled);
  origin?.closeAllConnections();
  origin?.close();
  const found = await saying(() => load(9, 0), detected('splitView'));
  const unhealthy = await saying(() => load(9, 0), next('ServerBecameUnhealthy'));
  const verdict = await next('ContradictionSettled', ({ data }) => data.contradiction === 'splitView');
  expect(unhealthy.sequence).toBeGreaterThan(verdict.sequence);
  expect([found.data.contradiction, verdict.data.agreed]).toEqual(['splitView', false]);
});

test('split view: one proxy can not reach what another can', async () => {
  await start(await listen());
  const both = async () => {
    await load(9, 0, 'p1');
    await load(0, 9, 'p2');
  };
  const found = await saying(both, detected('splitView'));
  expect(found.data.evidence).toContain('probe good, traffic split');
  expect(health?.fleet().servers.s1?.health).toBe('healthy');
});

const eject = () =>
  harness.publish({
    type: 'ServerEjected',
    data: { ...s1, proxy: 'p1', reason: 'reset', untilMs: Date.now() + 60_000 },
  });

test('an ejection of what answers well is lifted; one that comes again is a split view', async () => {
  await start(await listen(), { contradictionSettleMs: 60_000 });
  await eject();
  const lifted = await next('EjectionLifted');
  expect(health?.fleet().servers.s1?.ejectedUntilMs).toBeUndefined();
  await eject();
  const found = await detected('splitView');
  expect(found.data.evidence).toContain('traffic failing');
  const again = harness.bus.history('FLEET', lifted.sequence + 1);
  for await (const { type } of again) expect(type).not.toBe('EjectionLifted');
});

test('an ejection of what is dead is confirmed', async () => {
  await start(await nowhere());
  await eject();
  const unhealthy = await next('ServerBecameUnhealthy');
  const confirmed = await next('EjectionConfirmed', undefined, unhealthy.sequence);
  expect(confirmed.data.reason).toContain('ECONNREFUSED');
  expect(health?.fleet().servers.s1?.ejectedUntilMs).toBeUndefined();
});

test('zombie: asleep by its history, and it speaks', async () => {
  await start(await nowhere());
  await harness.publish({ type: 'ServerPoweredOff', data: s1 });
  await next('SleepVerified');
  const found = await saying(beat, detected('zombie'));
  const contradicted = await saying(beat, next('SleepContradicted'));
  expect(contradicted.timeMs).toBeGreaterThanOrEqual(found.data.settleByMs);
  expect(health?.fleet().servers.s1?.lifecycle).toBe('failed');
});

test('a clock that jumps, settled when it does not jump again', async () => {
  await start(await listen());
  const beatAt = (timeMs: number) =>
    harness.store.putRaw(
      encode(
        { type: 'HeartbeatSent', data: sampleData.HeartbeatSent },
        { id: `beat-${timeMs}`, source: 's1', timeMs },
      ),
    );
  beatAt(Date.now());
  await next('HeartbeatStarted');
  beatAt(Date.now() + 3_600_000);
  const found = await detected('clockJump');
  await next('ContradictionSettled', ({ data }) => data.contradiction === 'clockJump', found.sequence);
});

test('a storm of restarts: no requests until it stands', async () => {
  await start(await listen(), {
    restartStormBoots: 2,
    restartStormWindowMs: 1_000,
    heartbeatLeaseMs: 60_000,
  });
  for (const bootId of ['b1', 'b2', 'b3']) {
    await beat({ bootId });
    await harness.nextEvent('FLEET', (event): event is EventOf<'HeartbeatStarted' | 'ServerRebooted'> => {
      const speaks = event.type === 'HeartbeatStarted' || event.type === 'ServerRebooted';
      return speaks && event.data.bootId === bootId;
    });
  }
  const found = await detected('restartStorm');
  const settled = await next(
    'ContradictionSettled',
    ({ data }) => data.contradiction === 'restartStorm' && data.agreed,
  );
  expect(settled.timeMs - found.timeMs).toBeGreaterThan(500);
});
