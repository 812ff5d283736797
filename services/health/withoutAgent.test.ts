import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { type RunningHealth, startHealth } from './health.ts';
import { healthSettings } from './settings.ts';

/** Servers that have no agent: by HTTP, and by an HAProxy agent check. */

let harness: Harness;
let health: RunningHealth | undefined;
let folder: string;
const listeners: Server[] = [];
const token = 'correct horse'.replace(' ', '-');

beforeEach(async () => {
  harness = createHarness();
  folder = await mkdtemp(join(tmpdir(), 'nemuri-token-'));
  await writeFile(join(folder, 'token'), `${token}\n`);
});

afterEach(async () => {
  await health?.stop();
  health = undefined;
  for (const listener of listeners.splice(0)) listener.close();
  await harness.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(server: object = {}, bounds: object = {}): Promise<string> {
  const heartbeat = { token: `file:${join(folder, 'token')}` };
  await harness.configure(
    fleetConfig({ servers: 1, server: { heartbeat, url: 'http://127.0.0.1:9', ...server }, bounds }),
  );
  health = await startHealth(
    harness.context('health'),
    healthSettings({ NEMURI_HEARTBEAT_LISTEN: '127.0.0.1:0' }),
  );
  return health.heartbeatUrl ?? '';
}

const next = <T extends RecordedEvent['type']>(stream: 'FLEET' | 'TELEMETRY', type: T, from?: number) =>
  harness.nextEvent(stream, (event): event is EventOf<T> => event.type === type, from);

async function post(url: string, body?: string, change: { server?: string; authorization?: string } = {}) {
  const { server = 's1', authorization = `Bearer ${token}` } = change;
  const headers = { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const response = await fetch(`${url}/v1/heartbeat/${server}`, {
    method: 'POST',
    headers,
    body: body ?? null,
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

describe('by HTTP', () => {
  test('the curl line of the docs is a heartbeat', async () => {
    const url = await start();
    const docs = await readFile('docs/health.md', 'utf8');
    const [, line = ''] = /```sh\n(curl .*)\n```/.exec(docs) ?? [];
    const env = { ...process.env, TOKEN: token, HEALTH: url, SERVER: 's1' };
    await promisify(execFile)('sh', ['-c', line], { env });
    const { data } = await next('TELEMETRY', 'HeartbeatSent');
    const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    expect(data).toMatchObject({ server: 's1', pool: 'web', via: 'http', bootId, wish: 'ready' });
    expect((await next('FLEET', 'HeartbeatStarted')).data.bootId).toBe(bootId);
  });

  test('nothing in the body is enough', async () => {
    expect((await post(await start())).status).toBe(204);
    expect((await next('TELEMETRY', 'HeartbeatSent')).data).toMatchObject({
      wish: 'ready',
      shuttingDown: false,
    });
  });

  test('a shutdown is announced on its behalf', async () => {
    const url = await start();
    await post(url, '{"bootId":"b1"}');
    await next('FLEET', 'HeartbeatStarted');
    expect((await post(url, '{"bootId":"b1","shuttingDown":true}')).status).toBe(204);
    const announced = await next('FLEET', 'ServerShutdownAnnounced');
    expect(announced.data.bootId).toBe('b1');
    await post(url, '{"bootId":"b1"}');
    await next('FLEET', 'ServerShutdownCalledOff');
  });

  test.each<[string, number, object, string | undefined]>([
    ['a wrong token', 401, { authorization: 'Bearer wrong' }, undefined],
    ['no token', 401, { authorization: '' }, undefined],
    ['another scheme', 401, { authorization: `Basic ${token}` }, undefined],
    ['an unknown server', 401, { server: 's9' }, undefined],
    ['what every object has', 401, { server: 'constructor' }, undefined],
    ['no JSON', 400, {}, '{'],
    ['a key it does not know', 400, {}, '{"wishes":"ready"}'],
    ['a wish that is none', 400, {}, '{"wish":"sleep"}'],
    ['a number out of range', 400, {}, '{"weightPercent":-1}'],
    ['no object', 400, {}, '[]'],
    ['too much', 413, {}, `{"bootId":"${'x'.repeat(5_000)}"}`],
  ])('%s: %d', async (_what, status, change, body) => {
    const answer = await post(await start(), body, change);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.text).not.toContain(token);
    const stored: string[] = [];
    for await (const { type } of harness.bus.history('TELEMETRY', 1)) stored.push(type);
    expect(stored).not.toContain('HeartbeatSent');
  });

  test('a server without a token, or with one that is not readable, is refused', async () => {
    const url = await start({ heartbeat: {} });
    expect((await post(url)).status).toBe(401);
    await rm(join(folder, 'token'));
    await harness.configure(
      fleetConfig({ servers: 1, server: { heartbeat: { token: `file:${join(folder, 'token')}` } } }),
    );
    expect((await post(url)).status).toBe(401);
  });

  test('too often: 429, and when to come again; wrong tokens use nothing up', async () => {
    const url = await start({}, { maxHeartbeatsPerMinute: 2 });
    for (let count = 0; count < 4; count += 1) await post(url, undefined, { authorization: 'Bearer no' });
    expect([(await post(url)).status, (await post(url)).status]).toEqual([204, 204]);
    const refused = await post(url);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
  });

  test('without an address there is no door', async () => {
    expect(healthSettings({}).heartbeatListen).toBeUndefined();
    expect(() => healthSettings({ NEMURI_HEARTBEAT_LISTEN: '8086' })).toThrow(/host:port \(got "8086"\)/);
  });
});

describe('by an agent check', () => {
  async function haproxyAgent(answer: (socket: Socket) => void): Promise<number> {
    const listener = createServer((socket) => {
      socket.on('error', () => undefined);
      answer(socket);
    });
    listeners.push(listener);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return (listener.address() as AddressInfo).port;
  }
  const ask = (agentCheckPort: number) =>
    start({ heartbeat: { agentCheckPort } }, { heartbeatIntervalMs: 20, heartbeatLeaseMs: 500 });

  test('its weight, bound and wishes are what HAProxy would make of them', async () => {
    let line = '75% ready maxconn:30\n';
    await ask(await haproxyAgent((socket) => socket.end(line)));
    const started = await next('FLEET', 'HeartbeatStarted');
    expect(started.data).toEqual({
      server: 's1',
      pool: 'web',
      wish: 'ready',
      weightPercent: 75,
      maxInFlight: 30,
    });
    line = 'down\n';
    const down = await next('FLEET', 'ServerWished', started.sequence);
    expect(down.data).toMatchObject({ wish: 'drain', weightPercent: 75 });
    line = 'up\n';
    const up = await next('FLEET', 'ServerWished', down.sequence + 1);
    expect(up.data).toMatchObject({ wish: 'ready', weightPercent: 75, maxInFlight: 30 });
  });

  test('nonsense, silence and a closed door are no heartbeat', async () => {
    let turn = 0;
    const answers: ((socket: Socket) => void)[] = [
      (socket) => socket.end('hello\n'),
      (socket) => socket.end(),
      (socket) => socket.destroy(),
      () => undefined,
      (socket) => socket.end('ready\n'),
    ];
    await ask(await haproxyAgent((socket) => answers[Math.min(turn++, answers.length - 1)]?.(socket)));
    await next('FLEET', 'HeartbeatStarted');
    expect(turn).toBeGreaterThanOrEqual(answers.length);
  });

  test('one that sleeps is not asked', async () => {
    let asked = 0;
    let off = false;
    const port = await haproxyAgent((socket) => {
      asked += 1;
      socket.end(off ? '' : 'ready\n');
    });
    await ask(port);
    await next('FLEET', 'HeartbeatStarted');
    off = true;
    await harness.publish({ type: 'ServerPoweredOff', data: { server: 's1', pool: 'web' } });
    const asleep = await next('FLEET', 'SleepVerified');
    const before = asked;
    const sampled = harness.store.lastSequence('TELEMETRY');
    await harness.nextEvent(
      'TELEMETRY',
      (event): event is EventOf<'ProbesSampled'> =>
        event.type === 'ProbesSampled' && event.timeMs > asleep.timeMs + 100,
      sampled,
    );
    expect(asked).toBeLessThanOrEqual(before + 1);
  });
});
