import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { until } from '../../libs/bus/testing/until.ts';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

let site: Site;

const isType =
  <T extends RecordedEvent['type']>(type: T, fits: (event: EventOf<T>) => boolean = () => true) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && fits(event as EventOf<T>);

const get = (headers: Record<string, string> = {}, path = '/') =>
  fetch(`http://127.0.0.1:${site.port}${path}`, { headers });
const named =
  (name: string): RequestListener =>
  (_request, response) =>
    response.end(name);
const noSlowStart = { slowStartMs: 0, policy: 'roundRobin' };

beforeEach(() => {
  site = createSite();
});

afterEach(() => site.close());

test('a server that fails again and again gets nothing more for a while, and others hear of it', async () => {
  let asked = 0;
  const failing = await site.origin((_request, response) => {
    asked += 1;
    response.writeHead(503).end();
  });
  await site.start(
    configOf([failing, await site.origin(named('two'))], {
      balancing: noSlowStart,
      circuit: { ejectAfterFailures: 3 },
    }),
  );
  await site.ready('s1', 's2');
  for (let visit = 0; visit < 20; visit += 1) await (await get()).text();
  expect(asked).toBe(3);
  const { data } = await site.harness.nextEvent('FLEET', isType('ServerEjected'));
  expect(data).toMatchObject({ server: 's1', reason: 'status 503' });
});

test('an ejection that health lifts is over', async () => {
  let asked = 0;
  const failing = await site.origin((_request, response) => {
    asked += 1;
    response.writeHead(503).end();
  });
  await site.start(
    configOf([failing, await site.origin(named('two'))], {
      balancing: noSlowStart,
      forwarding: { ejectMs: 3_600_000 },
      circuit: { ejectAfterFailures: 3 },
    }),
  );
  await site.ready('s1', 's2');
  for (let visit = 0; visit < 20; visit += 1) await (await get()).text();
  expect(asked).toBe(3);
  await site.harness.publish(draftOf('EjectionLifted'));
  await until(async () => {
    await (await get()).text();
    return asked > 3;
  });
});

describe('a request that runs out of time', () => {
  let asked: string[];
  const hangs: RequestListener = ({ url = '' }, response) => {
    asked.push(url);
    if (url === '/fast') response.end('s1');
  };
  const settings = {
    balancing: noSlowStart,
    forwarding: { responseTimeoutMs: 100, ejectMs: 3_600_000 },
  };
  beforeEach(async () => {
    asked = [];
    await site.start(configOf([await site.origin(hangs), await site.origin(named('s2'))], settings));
    await site.ready('s1', 's2');
  });

  test('ejects a server that began no answer since: it hangs', async () => {
    for (let visit = 0; visit < 6; visit += 1) expect(await (await get({}, '/slow')).text()).toBe('s2');
    expect(asked).toEqual(['/slow']);
    const { data } = await site.harness.nextEvent('FLEET', isType('ServerEjected'));
    expect(data).toMatchObject({ server: 's1' });
  });

  test('leaves a server in its place that answered others meanwhile', async () => {
    const slow = Promise.all([get({}, '/slow'), get({}, '/slow')]);
    await until(async () => asked.includes('/slow'));
    while (!asked.includes('/fast')) await (await get({}, '/fast')).text();
    await slow;
    const before = asked.length;
    for (let visit = 0; visit < 4; visit += 1) await (await get({}, '/fast')).text();
    expect(asked.length).toBeGreaterThan(before);
  });
});

test('the only server of a pool is not ejected, however often it fails', async () => {
  let asked = 0;
  const failing = await site.origin((_request, response) => {
    asked += 1;
    response.writeHead(503).end();
  });
  await site.start(configOf([failing], { circuit: { ejectAfterFailures: 2 } }));
  await site.ready('s1');
  for (let visit = 0; visit < 10; visit += 1) expect((await get()).status).toBe(503);
  expect(asked).toBe(10);
});

test('a pool whose only server could not be reached comes back as soon as it can be', async () => {
  const port = await freePort('127.0.0.1');
  // Were it ejected as one of several is, the request would wait for longer than it may.
  await site.start(
    configOf([port], {
      forwarding: { ejectMs: 3_600_000 },
      parking: { maxWaitMs: 10_000 },
      circuit: { lastServerRetryMs: 20 },
    }),
  );
  await site.ready('s1');
  const parked = get();
  await site.harness.nextEvent('FLEET', isType('ServerEjected'));
  const server = createServer(named('back')).listen(port, '127.0.0.1');
  await once(server, 'listening');
  try {
    expect(await (await parked).text()).toBe('back');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('connections to one server are bounded: what is more waits its turn', async () => {
  let open = 0;
  let most = 0;
  const origin = await site.origin((_request, response) => {
    open += 1;
    most = Math.max(most, open);
    setImmediate(() => {
      open -= 1;
      response.end('ok');
    });
  });
  await site.start(configOf([origin], { circuit: { maxConnections: 3 } }));
  await site.ready('s1');
  const answers = await Promise.all(Array.from({ length: 30 }, () => get().then((answer) => answer.status)));
  expect(answers).toEqual(new Array(30).fill(200));
  expect(most).toBeLessThanOrEqual(3);
});

test('retries under way at once are bounded', async () => {
  const breaking = await site.origin((request) => request.socket.destroy());
  await site.start(configOf([breaking], { circuit: { maxRetries: 0, ejectAfterFailures: 0 } }));
  await site.ready('s1');
  expect((await get()).status).toBe(502);
  const { data } = await site.harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', (event) => event.data.completed === 1),
  );
  expect(data.servers.s1).toMatchObject({ completed: 1, failed: 1 });
});

test('a sticky cookie keeps a client on its server, and moves with it when that one sleeps', async () => {
  const ports = [await site.origin(named('one')), await site.origin(named('two'))];
  await site.start(
    configOf(ports, { balancing: { ...noSlowStart, sticky: { cookie: 'nemuri', maxAgeSeconds: 60 } } }),
  );
  await site.ready('s1', 's2');
  const first = await get();
  const home = await first.text();
  const setCookie = first.headers.get('set-cookie') ?? '';
  expect(setCookie).toMatch(/^nemuri=[0-9a-f]{1,8}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=60$/);
  const [cookie = ''] = setCookie.split(';');
  for (let visit = 0; visit < 6; visit += 1) {
    const again = await get({ cookie });
    expect(await again.text()).toBe(home);
    expect(again.headers.get('set-cookie')).toBeNull();
  }
  const server = home === 'one' ? 's1' : 's2';
  const data = { server, pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 30_000, reason: 'test' };
  await site.harness.publish({ type: 'SleepRequested', data });
  await site.harness.nextEvent('FLEET', isType('ServerDrained'));
  const moved = await get({ cookie });
  const away = await moved.text();
  expect(away).not.toBe(home);
  const [newCookie = ''] = moved.headers.get('set-cookie')?.split(';') ?? [];
  expect(newCookie).not.toBe(cookie);
  expect(await (await get({ cookie: newCookie })).text()).toBe(away);
});
