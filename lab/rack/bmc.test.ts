import { Agent, request } from 'undici';
import { createBmc } from './bmc.ts';
import { type BmcServer, createBmcServer } from './bmcServer.ts';
import { createCertificate, type RackCertificate } from './certificate.ts';
import { type BmcFault, createFaultTable } from './faults.ts';
import { evolve, type MachineState, type ResetType } from './machine.ts';
import { listenOnFreePair } from './ports.ts';
import type { BmcQuirks } from './resources.ts';

const timings = { setupTimeMs: 1_000, poweringOnMs: 0, shutdownMs: 0 };
const system = '/redfish/v1/Systems/1';
const reset = `${system}/Actions/ComputerSystem.Reset`;
const sessions = '/redfish/v1/SessionService/Sessions';
const basic = { authorization: `Basic ${Buffer.from('admin:se:cret').toString('base64')}` };

interface Reply {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly json: Record<string, unknown>;
}

let certificate: RackCertificate;
let agent: Agent;
let bmcServer: BmcServer;
let url: string;
let nowMs: number;
let state: MachineState;
let resets: ResetType[];
const faults = createFaultTable();
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  certificate = await createCertificate([]);
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function start(quirks: Partial<BmcQuirks> = {}, more = { maxSessions: 2, sessionTimeoutMs: 60_000 }) {
  nowMs = 0;
  state = { kind: 'serving', sinceMs: 0 };
  resets = [];
  faults.set([]);
  const settings = {
    name: 'web-1',
    uuid: '1db288ce-a9a2-4a51-8ab6-ae719f689c46',
    systemId: '1',
    manufacturer: 'Nemuri lab',
    model: 'test',
    maxWatts: 200,
    username: 'admin',
    password: 'se:cret',
    quirks: {
      allowableValues: 'inline',
      meter: 'both',
      transitionStates: true,
      sameState: 'accept',
      ...quirks,
    },
    ...more,
  } as const;
  const machine = {
    look: () => ({ state, powerWatts: state.kind === 'off' ? 10 : 151.46 }),
    reset(resetType: ResetType) {
      resets.push(resetType);
      state = evolve(state, { kind: 'reset', resetType }, nowMs, timings).state;
    },
  };
  bmcServer = createBmcServer(
    createBmc(settings, machine, faults, () => nowMs),
    faults,
    certificate,
    () => nowMs,
  );
  const port = await listenOnFreePair(bmcServer.server, '127.0.0.1', Math.random);
  url = `https://127.0.0.1:${port}`;
  agent = new Agent({ connect: { ca: certificate.certPem }, bodyTimeout: 5_000, headersTimeout: 5_000 });
  closing.push(bmcServer.close, () => agent.destroy());
}

async function ask(
  method: 'GET' | 'POST' | 'DELETE' | 'PATCH' | 'HEAD' | 'PUT',
  path: string,
  body?: unknown,
  headers: Record<string, string> = basic,
): Promise<Reply> {
  const answer = await request(url + path, {
    method,
    dispatcher: agent,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  return {
    status: answer.statusCode,
    headers: answer.headers,
    json: text.startsWith('{') ? JSON.parse(text) : {},
  };
}

const messageOf = (reply: Reply) =>
  (reply.json.error as { '@Message.ExtendedInfo': { MessageId: string }[] })['@Message.ExtendedInfo'][0]
    ?.MessageId;

describe('an emulated BMC over HTTPS', () => {
  test('shows the service root to everyone, the rest to nobody without credentials', async () => {
    await start();
    expect((await ask('GET', '/redfish', undefined, {})).json).toEqual({ v1: '/redfish/v1/' });
    const root = await ask('GET', '/redfish/v1/', undefined, {});
    expect(root.status).toBe(200);
    expect(root.headers['odata-version']).toBe('4.0');
    expect(root.json).toMatchObject({
      '@odata.id': '/redfish/v1',
      Links: { Sessions: { '@odata.id': sessions } },
    });
    expect((await ask('GET', '/redfish/v1/odata', undefined, {})).status).toBe(200);
    expect((await ask('GET', '/redfish/v1/$metadata', undefined, {})).headers['content-type']).toMatch('xml');
    const wrong = { authorization: `Basic ${Buffer.from('admin:no').toString('base64')}` };
    for (const headers of [{}, wrong, { 'x-auth-token': 'made-up' }, { authorization: 'Basic !' }]) {
      const refused = await ask('GET', system, undefined, headers);
      expect(refused.status).toBe(401);
      expect(messageOf(refused)).toMatch(/^Base\.1\.18\.1\./);
    }
    expect((await ask('POST', reset, { ResetType: 'ForceOff' }, {})).status).toBe(401);
    expect(resets).toEqual([]);
  });

  test('every link it shows leads to a resource that names itself', async () => {
    await start();
    const seen = new Set<string>();
    const follow = async (path: string): Promise<void> => {
      if (seen.has(path) || path.includes('#')) return;
      seen.add(path);
      const { status, json } = await ask('GET', path);
      expect([path, status, json['@odata.id']]).toEqual([path, 200, path]);
      const links = [...JSON.stringify(json).matchAll(/"@(?:odata\.id|Redfish\.ActionInfo)":"([^"]+)"/g)];
      for (const [, next = ''] of links) await follow(next);
    };
    await follow('/redfish/v1');
    expect(seen.size).toBeGreaterThan(14);
  });

  test('switches the machine, and refuses what is no reset', async () => {
    await start();
    expect((await ask('GET', system)).json.PowerState).toBe('On');
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(204);
    expect((await ask('GET', `${system}/`)).json.PowerState).toBe('Off');
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(204);
    expect((await ask('POST', reset, { ResetType: 'On' })).status).toBe(204);
    expect((await ask('GET', system)).json.PowerState).toBe('PoweringOn');
    expect(messageOf(await ask('POST', reset, { ResetType: 'Nmi' }))).toMatch(
      /ActionParameterValueNotInList$/,
    );
    expect(messageOf(await ask('POST', reset, {}))).toMatch(/ActionParameterMissing$/);
    expect(messageOf(await ask('POST', reset, '{"ResetType":'))).toMatch(/MalformedJSON$/);
    expect((await ask('POST', reset, '[1]')).status).toBe(400);
    const text = { ...basic, 'content-type': 'text/plain' };
    expect(
      (await request(url + reset, { method: 'POST', dispatcher: agent, headers: text, body: 'x' }))
        .statusCode,
    ).toBe(415);
    expect((await ask('POST', reset, JSON.stringify({ pad: 'x'.repeat(70_000) }))).status).toBe(413);
    expect(resets).toEqual(['ForceOff', 'ForceOff', 'On']);
  });

  test('answers 404, 405 with Allow, 412, 304 and HEAD as DSP0266 wants', async () => {
    await start();
    expect((await ask('GET', '/redfish/v1/Systems/2')).status).toBe(404);
    expect((await ask('GET', '/redfish/v1/constructor')).status).toBe(404);
    expect((await ask('POST', '/redfish/v1/Nowhere', {})).status).toBe(404);
    const notAllowed = await ask('DELETE', system);
    expect([notAllowed.status, notAllowed.headers.allow]).toEqual([405, 'GET, HEAD, PATCH']);
    expect((await ask('GET', reset)).status).toBe(405);
    expect((await ask('GET', system, undefined, { ...basic, 'odata-version': '3.0' })).status).toBe(412);
    const etag = String((await ask('GET', system)).headers.etag);
    expect((await ask('GET', system, undefined, { ...basic, 'if-none-match': etag })).status).toBe(304);
    const patched = await ask('PATCH', system, { AssetTag: 'rack 7' }, { ...basic, 'if-match': etag });
    expect(patched.status).toBe(204);
    expect((await ask('PATCH', system, { AssetTag: 'x' }, { ...basic, 'if-match': etag })).status).toBe(412);
    expect((await ask('PATCH', system, { PowerState: 'Off' })).status).toBe(400);
    expect((await ask('GET', system)).json.AssetTag).toBe('rack 7');
    const head = await ask('HEAD', system);
    expect([head.status, head.json]).toEqual([200, {}]);
  });

  test('opens sessions, counts them, and ends them by hand and by time', async () => {
    await start();
    const login = () => ask('POST', sessions, { UserName: 'admin', Password: 'se:cret' }, {});
    const first = await login();
    expect(first.status).toBe(201);
    const token = { 'x-auth-token': String(first.headers['x-auth-token']) };
    const location = String(first.headers.location);
    expect(location).toBe(`${sessions}/1`);
    expect((await ask('GET', location, undefined, token)).json).toMatchObject({ Id: '1', UserName: 'admin' });
    expect((await login()).status).toBe(201);
    expect((await login()).status).toBe(503);
    expect((await ask('GET', sessions, undefined, token)).json['Members@odata.count']).toBe(2);
    expect((await ask('DELETE', `${sessions}/2`, undefined, token)).status).toBe(204);
    expect((await ask('DELETE', `${sessions}/2`, undefined, token)).status).toBe(404);
    nowMs = 59_000;
    expect((await ask('GET', system, undefined, token)).status).toBe(200);
    nowMs = 119_001;
    expect((await ask('GET', system, undefined, token)).status).toBe(401);
    expect((await ask('POST', sessions, { UserName: 'admin', Password: 'x' }, {})).status).toBe(401);
    expect((await ask('POST', sessions, { UserName: 'admin' }, {})).status).toBe(400);
  });

  test('meters in two ways', async () => {
    await start();
    const { json } = await ask('GET', '/redfish/v1/Chassis/1/Power');
    expect(json.PowerControl).toMatchObject([{ PowerConsumedWatts: 151 }]);
    const metrics = await ask('GET', '/redfish/v1/Chassis/1/EnvironmentMetrics');
    expect(metrics.json.PowerWatts).toEqual({ Reading: 151.5 });
    faults.set([{ kind: 'zeroWatts' }]);
    expect((await ask('GET', '/redfish/v1/Chassis/1/Power')).json.PowerControl).toMatchObject([
      { PowerConsumedWatts: 0 },
    ]);
  });

  test('has the quirks it is given', async () => {
    await start({
      allowableValues: 'malformed',
      meter: 'environmentMetrics',
      transitionStates: false,
      sameState: 'refuse',
    });
    const actions = JSON.stringify((await ask('GET', system)).json.Actions);
    expect(actions).toMatch('GracefulShutdownGracefulRestart');
    expect((await ask('GET', '/redfish/v1/Chassis/1/Power')).status).toBe(404);
    expect((await ask('POST', reset, { ResetType: 'On' })).status).toBe(409);
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(204);
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(409);
    expect((await ask('POST', reset, { ResetType: 'On' })).status).toBe(204);
    expect((await ask('GET', system)).json.PowerState).toBe('On');
  });

  test('keeps the trace of what reached it', async () => {
    await start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await ask('POST', reset, { ResetType: 'ForceOff' }, { ...basic, traceparent });
    await ask('GET', '/redfish/v1/Nowhere');
    expect(bmcServer.requests()).toEqual([
      { timeMs: 0, method: 'POST', path: reset, status: 204, traceparent },
      { timeMs: 0, method: 'GET', path: '/redfish/v1/Nowhere', status: 404, traceparent: undefined },
    ]);
  });

  test('a client that does not trust the certificate gets no answer', async () => {
    await start();
    await expect(request(`${url}/redfish/v1`)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  });
});

describe('faults of a BMC', () => {
  test.each<[BmcFault, number, string | undefined]>([
    [{ kind: 'status', status: 409, times: 1 }, 409, undefined],
    [{ kind: 'status', status: 503, retryAfterSeconds: 7, times: 1 }, 503, '7'],
    [{ kind: 'status', status: 429, retryAfterSeconds: 1, times: 1 }, 429, '1'],
    [{ kind: 'status', status: 401, times: 1 }, 401, undefined],
  ])('%j once, then well again', async (fault, status, retryAfter) => {
    await start();
    faults.set([fault]);
    const answer = await ask('GET', system);
    expect([answer.status, answer.headers['retry-after'], answer.json]).toEqual([status, retryAfter, {}]);
    expect((await ask('GET', system)).status).toBe(200);
  });

  test('hangs, cuts, and sends what is no JSON or has no end', async () => {
    await start();
    faults.set([
      { kind: 'hang', on: 'reset', times: 1 },
      { kind: 'resetConnection', times: 1 },
      { kind: 'malformedJson', times: 1 },
      { kind: 'hugeBody', bytes: 3_000_000, times: 1 },
    ]);
    const hung = request(url + reset, {
      method: 'POST',
      dispatcher: agent,
      headers: { ...basic, 'content-type': 'application/json' },
      body: '{"ResetType":"On"}',
      headersTimeout: 1_000,
    });
    await expect(hung).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    await expect(ask('GET', system)).rejects.toThrow();
    await expect(ask('GET', system)).rejects.toThrow(SyntaxError);
    expect(String((await ask('GET', system)).json.Name).length).toBeGreaterThanOrEqual(3_000_000);
    expect((await ask('GET', system)).status).toBe(200);
    expect(bmcServer.requests().map(({ status }) => status)).toEqual([0, 0, 200, 200, 200]);
  });

  test('says yes to a reset and does nothing', async () => {
    await start();
    faults.set([{ kind: 'ignoredReset', resetTypes: ['ForceOff'], times: 1 }]);
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(204);
    expect((await ask('GET', system)).json.PowerState).toBe('On');
    expect((await ask('POST', reset, { ResetType: 'ForceOff' })).status).toBe(204);
    expect(resets).toEqual(['ForceOff']);
  });

  test.each(['Completed', 'Exception'] as const)('answers 202 with a task that ends %s', async (outcome) => {
    await start();
    faults.set([{ kind: 'task', durationMs: 150, outcome, times: 1 }]);
    const accepted = await ask('POST', reset, { ResetType: 'ForceOff' });
    expect(accepted.status).toBe(202);
    expect(accepted.headers.location).toBe('/redfish/v1/TaskService/Tasks/1');
    expect(accepted.json).toMatchObject({
      '@odata.id': '/redfish/v1/TaskService/Tasks/1',
      TaskState: 'Running',
    });
    expect((await ask('GET', system)).json.PowerState).toBe('On');
    const monitor = String(accepted.json.TaskMonitor);
    expect((await ask('GET', monitor)).status).toBe(202);
    let task = accepted;
    while (task.json.TaskState === 'Running') task = await ask('GET', '/redfish/v1/TaskService/Tasks/1');
    expect(task.json.TaskState).toBe(outcome);
    expect((await ask('GET', monitor)).status).toBe(outcome === 'Completed' ? 204 : 500);
    expect((await ask('GET', system)).json.PowerState).toBe(outcome === 'Completed' ? 'Off' : 'On');
  });
});
