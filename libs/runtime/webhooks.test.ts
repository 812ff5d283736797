import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '../bus/testing/until.ts';
import { eventOf, fleetConfig } from '../domain/testing/builders.ts';
import { parseConfig } from './config.ts';
import { createWebhooks, structuredEvent, type Webhooks } from './webhooks.ts';

interface Posted {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let receiver: Server;
let url: string;
let hooks: Webhooks;
let posted: Posted[];
/** Statuses to answer with, in turn; then 200. A status of 0 answers nothing. */
let statuses: number[];
let warnings: object[];

beforeEach(async () => {
  posted = [];
  statuses = [];
  warnings = [];
  receiver = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    posted.push({ headers: request.headers, body });
    const status = statuses.shift() ?? 200;
    if (status > 0) response.writeHead(status, { location: '/elsewhere' }).end();
    receiver.emit('posted');
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  hooks = createWebhooks({
    readSecret: async (reference) => (reference === 'env:URL' ? url : `secret of ${reference}`),
    log: { warn: (details: object) => void warnings.push(details) } as never,
    nowMs: () => 1_700_000_000_500,
    random: () => 0.5,
  });
});

afterEach(async () => {
  await hooks.stop();
  receiver.closeAllConnections();
  receiver.close();
});

function configure(webhook: object = {}, change: object = {}): void {
  const { notifications } = fleetConfig();
  const { webhooks } = parseNotifications({ url, ...webhook });
  hooks.configure({ ...notifications, firstRetryMs: 1, ...change, webhooks });
}

function parseNotifications(webhook: object) {
  const config = {
    version: 1,
    pools: { web: { minServers: 0 } },
    servers: {},
    notifications: { webhooks: [webhook] },
  };
  const parsed = parseConfig(JSON.stringify(config), { file: 'test.yaml' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config.notifications;
}

async function untilPosted(count: number): Promise<void> {
  while (posted.length < count) await once(receiver, 'posted', { signal: AbortSignal.timeout(10_000) });
}
async function untilWarned(): Promise<void> {
  while (warnings.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

const quarantined = eventOf('ServerQuarantined');

test('posts a structured CloudEvent, signed, and only what the webhook wants', async () => {
  configure({ secret: 'env:HOOK' });
  hooks.notify(eventOf('ServerBecameHealthy'));
  hooks.notify(quarantined);
  await untilPosted(1);
  const [{ headers, body } = { headers: {}, body: '' }] = posted;
  expect(headers['content-type']).toBe('application/cloudevents+json; charset=utf-8');
  expect(JSON.parse(body)).toEqual({
    specversion: '1.0',
    id: quarantined.id,
    source: '/test',
    type: 'nemuri.ServerQuarantined.v1',
    subject: 'nemuri.state.s1.power',
    time: '2023-11-14T22:13:20.000Z',
    datacontenttype: 'application/json',
    data: quarantined.data,
  });
  const mac = createHmac('sha256', 'secret of env:HOOK').update(`1700000000.${body}`).digest('hex');
  expect(headers['nemuri-signature']).toBe(`t=1700000000,v1=${mac}`);
});

test('a URL that is a secret is read where it is named; without a secret nothing is signed', async () => {
  configure({ url: 'env:URL', events: ['ServerQuarantined'] });
  hooks.notify(quarantined);
  await untilPosted(1);
  expect(posted[0]?.headers['nemuri-signature']).toBeUndefined();
});

test('is tried again until it is taken, in order', async () => {
  statuses = [503, 429, 500];
  configure({ events: ['ServerQuarantined', 'WakeTimedOut'] });
  hooks.notify(quarantined);
  hooks.notify(eventOf('WakeTimedOut'));
  await untilPosted(5);
  const types = posted.map(({ body }) => (JSON.parse(body) as { type: string }).type);
  expect(types).toEqual([...Array(4).fill('nemuri.ServerQuarantined.v1'), 'nemuri.WakeTimedOut.v1']);
  expect(warnings).toEqual([]);
});

test.each<[string, number[], object, number]>([
  ['after so many tries', [500, 500, 500, 500], { maxTries: 3 }, 3],
  ['at once when it is refused for good', [404], {}, 1],
  ['at a redirection, which is not followed', [302, 302], { maxTries: 2 }, 2],
  ['when no answer comes', [0, 0], { maxTries: 2, timeoutMs: 50 }, 2],
])('gives up %s, and says so without the URL', async (_what, answers, change, tries) => {
  statuses = answers;
  configure({}, change);
  hooks.notify(quarantined);
  await untilWarned();
  expect(warnings).toEqual([
    { type: 'ServerQuarantined', id: quarantined.id, tries, problem: expect.any(String) },
  ]);
  expect(JSON.stringify(warnings)).not.toContain(url);
});

test('the line is bounded: the oldest is given up', async () => {
  statuses = [0];
  configure({}, { maxQueue: 2 });
  for (let count = 0; count < 5; count += 1) hooks.notify(quarantined);
  expect(warnings).toHaveLength(3);
  await untilPosted(1);
});

test('stops in the middle of a wait', async () => {
  statuses = [500];
  configure({}, { firstRetryMs: 600_000 });
  hooks.notify(quarantined);
  await untilPosted(1);
  await hooks.stop();
});

test('a webhook that waits for no event there is, or hides a password in its URL, is refused', () => {
  expect(() => parseNotifications({ url, events: ['ServerQuarantine'] })).toThrow(
    /did you mean.*ServerQuarantined/,
  );
  expect(() => parseNotifications({ url: 'http://me:secret@hook.example/' })).toThrow();
});

test('a trace goes along', () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  expect(JSON.parse(structuredEvent({ ...quarantined, traceparent }))).toMatchObject({ traceparent });
});

test('is never sent to a metadata service', async () => {
  configure({ url: 'http://169.254.169.254/hook' }, { maxTries: 1 });
  hooks.notify(eventOf('ServerQuarantined'));
  await until(() => warnings.length > 0);
  expect(warnings).toMatchObject([{ problem: expect.stringContaining('NEMURI_ALLOW_ADDRESSES') }]);
});
