import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { EventOf, FleetConfig, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { renderPrometheus } from '../../libs/runtime/metrics.ts';
import type { Harness } from '../testing/harness.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

let site: Site;
let harness: Harness;
let port: number;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const origin = (handler: Handler) => site.origin(handler);
const ready = (...servers: string[]) => site.ready(...servers);

async function startWith(config: FleetConfig): Promise<void> {
  await site.start(config);
  port = site.port;
}

const get = (path = '/', init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init);
const isType =
  <T extends RecordedEvent['type']>(type: T, fits: (event: EventOf<T>) => boolean = () => true) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && fits(event as EventOf<T>);

const echo: Handler = (request, response) => {
  response.writeHead(200, { 'x-method': request.method, 'x-url': request.url, 'set-cookie': ['a=1', 'b=2'] });
  request.pipe(response);
};

beforeEach(() => {
  site = createSite();
  harness = site.harness;
});

afterEach(() => site.close());

test('carries a request and its body to a ready server, and the answer back', async () => {
  await startWith(configOf([await origin(echo)]));
  await ready('s1');
  const response = await get('/a%20b?q=1', { method: 'POST', body: 'hello' });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe('hello');
  expect(response.headers.get('x-url')).toBe('/a%20b?q=1');
  expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  expect(response.headers.get('via')).toBe('1.1 nemuri');
});

test('streams a body larger than what is held for another try', async () => {
  await startWith(configOf([await origin(echo)]));
  await ready('s1');
  const body = Buffer.alloc(3_000_000, 'x');
  const response = await get('/', { method: 'PUT', body });
  expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
});

test('a large answer reaches a slow client whole, and its connection can be used again', async () => {
  const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 31) % 251));
  let ended = false;
  const large = await origin((_request, response) => response.end(body, () => (ended = true)));
  await startWith(configOf([large]));
  await ready('s1');
  const outgoing = httpRequest({ port, host: '127.0.0.1' }).end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  await once(response, 'readable');
  const chunks: Buffer[] = [];
  for await (const chunk of response) {
    chunks.push(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(Buffer.concat(chunks).equals(body)).toBe(true);
  expect(ended).toBe(true);
  expect((await get()).status).toBe(200);
});

test('refuses a body beyond the bound of the pool with 413', async () => {
  await startWith(configOf([await origin(echo)], { forwarding: { maxBodyBytes: 1_000 } }));
  await ready('s1');
  const response = await get('/', { method: 'POST', body: 'x'.repeat(2_000) });
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ code: 'NEMURI_BODY_TOO_LARGE' });
});

test('answers 404 where no pool serves, as a problem document', async () => {
  await startWith(configOf([1], { routes: [{ pathPrefix: '/shop' }] }));
  const response = await get('/other');
  expect(response.status).toBe(404);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(await response.json()).toMatchObject({ code: 'NEMURI_NO_ROUTE', status: 404 });
});

test('parks a request while no server is ready, and says so in its load', async () => {
  await startWith(configOf([await origin(echo)]));
  const parked = get('/', { method: 'POST', body: 'patience' });
  const sample = await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.parked === 1),
  );
  expect(sample.data).toMatchObject({ pool: 'web', proxy: 'proxy-0', inFlight: 0 });
  await ready('s1');
  expect(await (await parked).text()).toBe('patience');
});

test('answers 503 with Retry-After when a parked request waits too long', async () => {
  await startWith(configOf([1], { parking: { maxWaitMs: 30 } }));
  const response = await get();
  expect(response.status).toBe(503);
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await response.json()).toMatchObject({ code: 'NEMURI_PARKED_TOO_LONG' });
});

test('goes to another server when one refuses the connection, and ejects it', async () => {
  const dead = await freePort('127.0.0.1');
  await startWith(configOf([dead, await origin(echo)]));
  await ready('s1', 's2');
  const statuses = await Promise.all(Array.from({ length: 20 }, () => get().then(({ status }) => status)));
  expect(statuses).toEqual(new Array(20).fill(200));
  const ejected = await harness.nextEvent('FLEET', isType('ServerEjected'));
  expect(ejected.data).toMatchObject({ server: 's1', proxy: 'proxy-0' });
});

test('a POST that never reached a server goes to another; one that did is not sent twice', async () => {
  let posts = 0;
  const dead = await freePort('127.0.0.1');
  const dying = await origin((request) => {
    posts += 1;
    request.socket.destroy();
  });
  await startWith(configOf([dead, dying]));
  await ready('s1', 's2');
  const response = await get('/', { method: 'POST', body: 'x' });
  expect(response.status).toBe(502);
  expect(posts).toBe(1);
});

test('a GET whose connection broke before the answer is tried again', async () => {
  let hits = 0;
  const flaky = await origin((request, response) => {
    hits += 1;
    if (hits === 1) request.socket.destroy();
    else response.end('second');
  });
  await startWith(configOf([flaky]));
  await ready('s1');
  expect(await (await get()).text()).toBe('second');
});

test('an answer that breaks off in the middle is not taken for whole', async () => {
  const broken = await origin((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => response.destroy());
  });
  await startWith(configOf([broken]));
  await ready('s1');
  const response = await get();
  await expect(response.text()).rejects.toThrow();
});

test('a client that goes away cancels its request on the server', async () => {
  const arrived = new Promise<IncomingMessage>((resolve) => {
    void origin((request) => resolve(request)).then(async (originPort) => {
      await startWith(configOf([originPort]));
      await ready('s1');
      httpRequest({ port, host: '127.0.0.1' })
        .on('error', () => {})
        .end()
        .once('socket', (socket) =>
          socket.once('connect', () => setImmediate(() => void arrived.then(() => socket.destroy()))),
        );
    });
  });
  const request = await arrived;
  if (!request.destroyed) await once(request.socket, 'close');
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 0 && data.arrivals === 0),
  );
});

test('drains: nothing new goes to the server, what is in flight is finished, then it says so', async () => {
  let release = () => {};
  const slow = await origin((_request, response) => {
    release = () => response.end('done');
  });
  await startWith(configOf([slow, await origin((_request, response) => response.end('other'))]));
  await ready('s1');
  const inFlight = get();
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 1),
  );
  await ready('s2');
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 30_000, reason: 'test' };
  await harness.publish({ type: 'SleepRequested', data });
  await harness.nextEvent(
    'FLEET',
    isType('ServerDrainStarted', (event) => event.data.inFlight === 1),
  );
  expect(await (await get()).text()).toBe('other');
  expect(await (await get()).text()).toBe('other');
  release();
  expect(await (await inFlight).text()).toBe('done');
  const drained = await harness.nextEvent('FLEET', isType('ServerDrained'));
  expect(drained.data).toMatchObject({ server: 's1', proxy: 'proxy-0', sleepId: 'sleep-1' });
});

test.each<[string, (config: FleetConfig) => FleetConfig]>([
  [
    'taken out of the configuration',
    ({ servers: { s1: _gone, ...servers }, ...rest }) => ({ ...rest, servers }),
  ],
  [
    'moved to another pool',
    ({ pools: { web, ...pools }, servers, ...rest }) => ({
      ...rest,
      pools: web ? { ...pools, other: web } : pools,
      servers: Object.fromEntries(
        Object.entries(servers).map(([name, server]) => [name, { ...server, pool: 'other' }]),
      ),
    }),
  ],
])('a server %s, and back, is not drained while a request is in flight there', async (_what, change) => {
  let release = () => {};
  const slow = await origin((_request, response) => {
    release = () => response.end('done');
  });
  const config = configOf([slow, await origin(echo)]);
  await startWith(config);
  await ready('s1');
  const inFlight = get();
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 1),
  );
  await harness.configure(change(config));
  await harness.configure(config);
  await ready('s1');
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 30_000, reason: 'test' };
  await harness.publish({ type: 'SleepRequested', data });
  await harness.nextEvent(
    'FLEET',
    isType('ServerDrainStarted', (event) => event.data.inFlight === 1),
  );
  release();
  expect(await (await inFlight).text()).toBe('done');
  await harness.nextEvent('FLEET', isType('ServerDrained'));
});

test('goes on serving while the bus is away', async () => {
  await startWith(configOf([await origin(echo)]));
  await ready('s1');
  expect((await get()).status).toBe(200);
  harness.store.setReachable(false);
  expect((await get()).status).toBe(200);
  expect(site.proxy?.notReady()).toBeUndefined();
  harness.store.setReachable(true);
});

test('takes a changed configuration without a restart', async () => {
  const config = configOf([await origin((_request, response) => response.end('old'))]);
  await startWith(config);
  await ready('s1');
  expect(await (await get()).text()).toBe('old');
  await harness.configure(configOf([await origin((_request, response) => response.end('new'))]));
  await ready('s1');
  expect(await (await get()).text()).toBe('new');
});

test('counts what it carried: rate, failures, latency, per server', async () => {
  await startWith(configOf([await origin((_request, response) => response.writeHead(500).end())]));
  await ready('s1');
  await get();
  const { data } = await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', (event) => event.data.completed === 1),
  );
  expect(data).toMatchObject({ failed: 1, servers: { s1: { completed: 1, failed: 1 } } });
  expect(data.latencyMs.max).toBeGreaterThan(0);
});

test('says good-bye when it stops', async () => {
  await startWith(configOf([1]));
  await site.stopProxy();
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.stopping),
  );
});

test('a sleeping pool: monitors are answered at once and are no demand, people get a page that waits', async () => {
  await startWith(configOf([await origin(echo)], { parking: { waitingPage: true } }));
  const monitor = await get('/', { headers: { 'user-agent': 'UptimeRobot/2.0', accept: 'text/html' } });
  expect(monitor.status).toBe(503);
  expect(await monitor.json()).toMatchObject({ code: 'NEMURI_ASLEEP' });
  const first = await harness.nextEvent('TELEMETRY', isType('LoadSampled'));
  expect(first.data).toMatchObject({ parked: 0, arrivals: 0 });
  const page = await get('/', { headers: { 'user-agent': 'Mozilla/5.0', accept: 'text/html' } });
  expect(page.status).toBe(503);
  expect(page.headers.get('cache-control')).toBe('no-store');
  const text = await page.text();
  expect(text).toContain('http-equiv="refresh"');
  expect(text).not.toMatch(/<script|src=|href=/);
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.parked === 1),
    first.sequence,
  );
  await ready('s1');
  expect((await get('/', { headers: { 'user-agent': 'UptimeRobot/2.0' } })).status).toBe(200);
});

test('a pool at zero: 500 clients at once are all answered after the wake, no server above its limit', async () => {
  let atOnce = 0;
  let most = 0;
  const limited = await origin((_request, response) => {
    atOnce += 1;
    most = Math.max(most, atOnce);
    setImmediate(() => {
      atOnce -= 1;
      response.end('ok');
    });
  });
  const config = configOf([limited], { minServers: 0 });
  const server = config.servers.s1;
  if (server) server.maxInFlight = 7;
  await startWith(config);
  const clients = Array.from({ length: 500 }, () => get().then(({ status }) => status));
  await harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.parked === 500),
  );
  await ready('s1');
  expect(await Promise.all(clients)).toEqual(new Array(500).fill(200));
  expect(most).toBeLessThanOrEqual(7);
}, 60_000);

test('hash by cookie: a session stays on its server, and moves when that one sleeps', async () => {
  const names = await Promise.all(
    ['one', 'two', 'three'].map((name) => origin((_request, response) => response.end(name))),
  );
  await startWith(
    configOf(names, { balancing: { policy: 'hash', hashBy: 'cookie', hashName: 'sid', slowStartMs: 0 } }),
  );
  await ready('s1', 's2', 's3');
  const visit = async (sid: number) => (await get('/', { headers: { cookie: `x=1; sid=${sid}` } })).text();
  const sessions = Array.from({ length: 30 }, (_, sid) => sid);
  const before: string[] = [];
  for (const sid of sessions) before.push(await visit(sid));
  expect(new Set(before).size).toBe(3);
  for (const sid of sessions) expect(await visit(sid)).toBe(before[sid]);
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 30_000, reason: 'test' };
  await harness.publish({ type: 'SleepRequested', data });
  await harness.nextEvent('FLEET', isType('ServerDrained'));
  for (const sid of sessions) {
    const after = await visit(sid);
    if (before[sid] === 'one') expect(after).not.toBe('one');
    else expect(after).toBe(before[sid]);
  }
});

test('metrics: what it carried, by pool and server', async () => {
  const dead = await freePort('127.0.0.1');
  await startWith(
    configOf([await origin((_request, response) => response.end('12345')), dead], {
      balancing: { slowStartMs: 0 },
    }),
  );
  await ready('s1');
  await get();
  await get();
  const text = renderPrometheus(site.proxy?.metrics?.() ?? []);
  const lines = text.split('\n');
  expect(lines).toContain('nemuri_pool_requests_total{proxy="proxy-0",pool="web"} 2');
  expect(lines).toContain('nemuri_server_response_bytes_total{proxy="proxy-0",pool="web",server="s1"} 10');
  expect(lines).toContain(
    'http_server_request_duration_seconds_bucket{proxy="proxy-0",pool="web",le="+Inf"} 2',
  );
  expect(lines).toContain('nemuri_server_requests_total{proxy="proxy-0",pool="web",server="s2"} 0');
  await ready('s2');
  for (let visit = 0; visit < 4; visit += 1) await get();
  const refused = 'nemuri_server_errors_total{proxy="proxy-0",pool="web",server="s2",kind="notSent"} 1';
  expect(renderPrometheus(site.proxy?.metrics?.() ?? []).split('\n')).toContain(refused);
});
