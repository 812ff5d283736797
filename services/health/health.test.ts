import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { startHealth } from './health.ts';

let harness: Harness;
let health: RunningService | undefined;
const servers: Server[] = [];

async function origin(listener: RequestListener, port = 0): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function start(url: string, healthCheck: object = {}): Promise<void> {
  const check = { intervalMs: 20, fastIntervalMs: 10, timeoutMs: 500, rise: 2, fall: 2, ...healthCheck };
  const config = fleetConfig({
    servers: 1,
    pool: { healthCheck: check },
    server: { url },
    bounds: { sampleIntervalMs: 30, sleepProofTimeoutMs: 50 },
  });
  await harness.configure(config);
  health = await startHealth(harness.context('health'));
}

const next = <T extends RecordedEvent['type']>(type: T, from?: number) =>
  harness.nextEvent('FLEET', (event): event is EventOf<T> => event.type === type, from);

const s1 = { server: 's1', pool: 'web' };

function close(server: Server): void {
  server.closeAllConnections();
  server.close();
}

beforeEach(() => {
  harness = createHarness();
});

afterEach(async () => {
  await health?.stop();
  health = undefined;
  servers.splice(0).forEach(close);
  await harness.close();
});

test('a server that answers is healthy after `rise` probes, and unhealthy after `fall` bad ones', async () => {
  const { server, url } = await origin((_request, response) => response.end('ok'));
  await start(url);
  const healthy = await next('ServerBecameHealthy');
  expect(healthy.data).toMatchObject({ ...s1, consecutive: 2 });
  close(server);
  const unhealthy = await next('ServerBecameUnhealthy', healthy.sequence);
  expect(unhealthy.data.consecutive).toBe(2);
  expect(unhealthy.data.reason).toContain('ECONNREFUSED');
});

test('a server that dies and returns is healthy again', async () => {
  const { server, url } = await origin((_request, response) => response.end('ok'));
  await start(url);
  const healthy = await next('ServerBecameHealthy');
  close(server);
  const unhealthy = await next('ServerBecameUnhealthy', healthy.sequence);
  await origin((_request, response) => response.end('ok'), Number(new URL(url).port));
  await next('ServerBecameHealthy', unhealthy.sequence);
});

test('the wrong status is no health', async () => {
  let status = 500;
  const { url } = await origin((_request, response) => response.writeHead(status).end());
  await start(url);
  await harness.nextEvent(
    'TELEMETRY',
    (event): event is EventOf<'ProbesSampled'> => event.type === 'ProbesSampled' && event.data.failed > 0,
  );
  expect(health?.fleet().servers.s1?.health).toBe('unknown');
  status = 204;
  await next('ServerBecameHealthy');
});

test('off and silent: the sleep is proven, and the server is left alone after', async () => {
  const url = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
  await start(url);
  await harness.publish({ type: 'ServerPoweredOff', data: s1 });
  const { data } = await next('SleepVerified');
  expect(data.evidence).toContain('hardware off');
  expect(health?.fleet().servers.s1?.lifecycle).toBe('asleep');
});

test('off by its hardware but speaking: a contradiction, by name', async () => {
  const { url } = await origin((_request, response) => response.end('still here'));
  await start(url);
  await next('ServerBecameHealthy');
  await harness.publish({ type: 'ServerPoweredOff', data: s1 });
  await next('SleepContradicted');
});

test('its samples are a sign of life', async () => {
  const { url } = await origin((_request, response) => response.end('ok'));
  await start(url);
  const sample = await harness.nextEvent(
    'TELEMETRY',
    (event): event is EventOf<'ProbesSampled'> => event.type === 'ProbesSampled' && event.data.sent > 0,
  );
  expect(sample.data.prober).toBe('health');
  expect(sample.data.latencyMs.max).toBeGreaterThan(0);
});

test('liveness is not readiness: what lives and is not ready gets no requests, and the reason says so', async () => {
  let ready = true;
  const { url } = await origin((request, response) =>
    response.writeHead(request.url === '/live' || ready ? 200 : 503).end(),
  );
  await start(url, { probe: { kind: 'http', path: '/ready' }, liveness: { kind: 'http', path: '/live' } });
  const healthy = await next('ServerBecameHealthy');
  ready = false;
  const { data } = await next('ServerBecameUnhealthy', healthy.sequence);
  expect(data.reason).toBe('status 503; alive: status 200');
});

test('what went wrong is posted to the webhooks', async () => {
  const bodies: string[] = [];
  const receiver = await origin(async (request, response) => {
    for await (const chunk of request) bodies.push(String(chunk));
    response.end();
    receiver.server.emit('posted');
  });
  const config = fleetConfig({ servers: 1, server: { url: receiver.url } });
  const webhooks = [{ url: `${receiver.url}/hook`, events: ['ServerQuarantined'] }];
  await harness.configure({ ...config, notifications: { ...config.notifications, webhooks } });
  health = await startHealth(harness.context('health'));
  await harness.publish({ type: 'ServerQuarantined', data: { ...s1, untilMs: Date.now(), reason: 'test' } });
  const signal = AbortSignal.timeout(10_000);
  while (!bodies.some((body) => body.includes('nemuri.ServerQuarantined.v1')))
    await once(receiver.server, 'posted', { signal });
});
