import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

let site: Site;

const isType =
  <T extends RecordedEvent['type']>(type: T, fits: (event: EventOf<T>) => boolean = () => true) =>
  (event: RecordedEvent): event is EventOf<T> =>
    event.type === type && fits(event as EventOf<T>);

const echo: RequestListener = (request, response) => request.pipe(response);

beforeEach(() => {
  site = createSite();
});

afterEach(() => site.close());

test('a WebSocket is carried, and counts as in flight for as long as it is open', async () => {
  const originPort = await site.origin(echo);
  const sockets = new WebSocketServer({ server: site.origins[0] as Server });
  sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(`echo ${message}`)));
  await site.start(configOf([originPort]));
  await site.ready('s1');
  const client = new WebSocket(`ws://127.0.0.1:${site.port}/chat`);
  await once(client, 'open');
  client.send('hi');
  const [message] = await once(client, 'message');
  expect(String(message)).toBe('echo hi');
  const open = await site.harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 1),
  );
  client.close();
  await site.harness.nextEvent(
    'TELEMETRY',
    isType('LoadSampled', ({ data }) => data.inFlight === 0),
    open.sequence,
  );
  sockets.close();
});

test('a WebSocket’s server gets the headers of its client', async () => {
  const originPort = await site.origin(echo);
  const sockets = new WebSocketServer({ server: site.origins[0] as Server });
  const connected = once(sockets, 'connection');
  await site.start(configOf([originPort]));
  await site.ready('s1');
  const headers = {
    origin: 'https://a.example',
    authorization: 'Bearer x',
    cookie: 'a=1',
    host: 'a.example',
  };
  const client = new WebSocket(`ws://127.0.0.1:${site.port}/chat?q=1`, { headers });
  await once(client, 'open');
  const [, request] = (await connected) as [unknown, IncomingMessage];
  expect(request.url).toBe('/chat?q=1');
  expect(request.headers).toMatchObject({ ...headers, 'x-forwarded-for': '127.0.0.1' });
  client.close();
  await once(client, 'close');
  sockets.close();
});

test('an upgrade is refused like any other request', async () => {
  await site.start(configOf([await site.origin(echo)], {}, { allowedHosts: ['a.example'] }));
  await site.ready('s1');
  const upgrade = (host: string, protocol: string) =>
    site.talk(
      `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
  expect(await upgrade('b.example', 'websocket')).toMatch(/^HTTP\/1\.1 421 /);
  expect(await upgrade('b.example', 'h2c')).toMatch(/^HTTP\/1\.1 421 /);
  expect(await upgrade('a.example', 'h2c')).toMatch(/^HTTP\/1\.1 200 /);
});

test('an event stream that outlasts the drain is ended in order, a download is not', async () => {
  const types = ['text/event-stream', 'application/octet-stream'];
  const originPort = await site.origin((request, response) => {
    response.writeHead(200, { 'content-type': types[Number(request.url?.slice(1))] });
    response.write('data: first\n\n');
  });
  await site.start(configOf([originPort], { drainTimeoutMs: 200 }));
  await site.ready('s1');
  const [events, download] = await Promise.all(
    [0, 1].map((kind) => fetch(`http://127.0.0.1:${site.port}/${kind}`)),
  );
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 200, reason: 'test' };
  await site.harness.publish({ type: 'SleepRequested', data });
  const timedOut = await site.harness.nextEvent('FLEET', isType('DrainTimedOut'));
  expect(timedOut.data).toMatchObject({ server: 's1', inFlight: 2 });
  expect(await events?.text()).toBe('data: first\n\n');
  // What is not whole must not look so: it breaks off with its server.
  const whole = download?.text();
  site.origins[0]?.closeAllConnections();
  await expect(whole).rejects.toThrow();
});

test('a WebSocket that outlasts the drain is closed with 1012', async () => {
  const originPort = await site.origin(echo);
  const sockets = new WebSocketServer({ server: site.origins[0] as Server });
  await site.start(configOf([originPort], { drainTimeoutMs: 200 }));
  await site.ready('s1');
  const client = new WebSocket(`ws://127.0.0.1:${site.port}/chat`);
  await once(client, 'open');
  const closed = once(client, 'close');
  const data = { server: 's1', pool: 'web', sleepId: 'sleep-1', drainTimeoutMs: 200, reason: 'test' };
  await site.harness.publish({ type: 'SleepRequested', data });
  const timedOut = await site.harness.nextEvent('FLEET', isType('DrainTimedOut'));
  expect(timedOut.data).toMatchObject({ server: 's1', inFlight: 1 });
  const [code] = await closed;
  expect(code).toBe(1012);
  sockets.close();
});
