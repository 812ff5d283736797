import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PowerDriver } from './driver.ts';
import { createHttpDriver, textAt } from './http.ts';
import { digestAuthorization } from './httpDigest.ts';
import { createBench, failureOf, kindOf, never } from './testing/bench.ts';
import { type FakePlug, startFakePlug } from './testing/fakePlug.ts';
import { deps, methodOf, secretText } from './testing/peers.ts';
import { type Dialogue, shellyGen1, shellyGen2, tasmota } from './testing/plugDialogues.ts';
import * as recorded from './testing/recordedPlugs.ts';

let plug: FakePlug;
let drivers: PowerDriver[] = [];
afterEach(async () => {
  await Promise.all(drivers.map((driver) => driver.close()));
  drivers = [];
  await plug.close();
});

function driverOf(method: object): PowerDriver {
  const resolveSecret = (reference: string) => (reference === 'env:PLUG_USER' ? 'admin' : secretText);
  const driver = createHttpDriver('web-1', methodOf('http', { url: plug.url, ...method }), {
    ...deps,
    resolveSecret,
  });
  drivers.push(driver);
  return driver;
}

const status = '/rpc/Switch.GetStatus?id=0';
const shellyMethod = {
  wake: { path: '/rpc/Switch.Set?id=0&on=true' },
  sleep: { path: '/rpc/Switch.Set?id=0&on=false' },
  readPower: { path: status, jsonPath: 'output' },
  meter: { path: status, jsonPath: 'apower' },
};
const gen1Method = {
  wake: { path: '/relay/0?turn=on' },
  sleep: { path: '/relay/0?turn=off' },
  readPower: { path: '/relay/0', jsonPath: 'ison' },
  meter: { path: '/meter/0', jsonPath: 'power' },
};
const tasmotaMethod = {
  wake: { path: '/cm?cmnd=Power%20On' },
  sleep: { path: '/cm?cmnd=Power%20Off' },
  readPower: { path: '/cm?cmnd=Power', jsonPath: 'POWER', on: 'ON', off: 'OFF' },
  meter: { path: '/cm?cmnd=Status%208', jsonPath: 'StatusSNS.ENERGY.Power' },
};
const status10 = { ...tasmotaMethod.meter, path: '/cm?cmnd=Status%2010' };
const secretQuery = { user: 'env:PLUG_USER', password: 'env:PLUG_PASSWORD' };
const login = (kind: 'basic' | 'digest') => ({ kind, username: 'admin', password: 'env:PLUG' });

describe.each<[string, () => Dialogue, object, string, asks?: number]>([
  ['Shelly of the first generation', () => shellyGen1(), gen1Method, '/meter/0'],
  [
    'Shelly of the first generation with a login',
    () => shellyGen1(`admin:${secretText}`),
    { ...gen1Method, auth: login('basic') },
    '/meter/0',
  ],
  ['Shelly of the second generation', () => shellyGen2(), shellyMethod, status],
  [
    'Shelly of the second generation with a password',
    () => shellyGen2(secretText),
    { ...shellyMethod, auth: login('digest') },
    status,
    2,
  ],
  [
    'Shelly of firmware 2, which counts each nonce',
    () => shellyGen2(secretText, 2),
    { ...shellyMethod, auth: login('digest') },
    status,
    2,
  ],
  ['Tasmota', () => tasmota(), tasmotaMethod, '/cm?cmnd=Status%208'],
  [
    'Tasmota with a password',
    () => tasmota(secretText),
    { ...tasmotaMethod, meter: status10, secretQuery },
    status10.path,
  ],
])('a %s', (_name, dialogueOf, method, meterPath, asks = 1) => {
  beforeEach(async () => {
    plug = await startFakePlug(dialogueOf());
  });

  test('is switched and read; what is fulfilled already is not sent again', async () => {
    const driver = driverOf(method);
    expect(await driver.readPower(never)).toBe('off');
    await driver.wake(never);
    await driver.wake(never);
    expect([plug.isOn, await driver.readPower(never)]).toEqual([true, 'on']);
    await driver.sleep('graceful', never);
    await driver.sleep('forced', never);
    expect([plug.isOn, await driver.readPower(never)]).toEqual([false, 'off']);
    const commands = plug.requests.filter((request) => /[?&]on=|turn=|Power%20/.test(request));
    expect(commands).toHaveLength(2 * asks);
  });

  test.each<[string, boolean, number, number | undefined]>([
    ['a load', true, 212.5, 212.5],
    ['0 W while on', true, 0, undefined],
    ['0 W while off', false, 0, 0],
  ])('meters %s', async (_what, isOn, watts, powerWatts) => {
    Object.assign(plug, { isOn, powerWatts: watts });
    expect(await driverOf(method).meter(never)).toEqual({ powerWatts, source: plug.url + meterPath });
  });

  test('the machine behind an outlet that is on is on by its watts', async () => {
    Object.assign(plug, { isOn: true, powerWatts: 2.1 });
    const driver = driverOf({ ...method, onAboveWatts: 20 });
    expect(await driver.readPower(never)).toBe('off');
    plug.powerWatts = 90;
    expect(await driver.readPower(never)).toBe('on');
  });
});

test('a Tasmota that wants another password is not taken for switched', async () => {
  plug = await startFakePlug(tasmota('another'));
  const failure = await failureOf(driverOf({ ...tasmotaMethod, secretQuery }).wake(never));
  expect([failure.kind, failure.message]).toEqual([
    'unauthorized',
    'web-1: readPower by http: status 401: {"WARNING":"Need user=<username>&password=<password>"}',
  ]);
  plug.script = (_request, response) =>
    response.end('{"WARNING":"Need user=<username>&password=<password>"}');
  expect(await kindOf(driverOf(tasmotaMethod).wake(never))).toBe('protocol');
});

describe('what was recorded from real plugs', () => {
  /** A plug that gives the recorded answers, each to its own request, and 404 to any other. */
  async function startRecorded(answers: readonly recorded.RecordedAnswer[]): Promise<void> {
    plug = await startFakePlug(() => ({ status: 500, headers: {}, body: '' }));
    plug.script = (request, response) => {
      const answer = answers.find(({ target }) => target === request.url);
      const isError = answer?.body.startsWith('{"code":') ?? true;
      response.writeHead(isError ? 404 : 200, { 'content-type': 'application/json' }).end(answer?.body);
    };
  }
  const at = (path: string, jsonPath: string) => ({ path, jsonPath });

  test.each<[string, recorded.RecordedAnswer[], object, string]>([
    [
      'Tasmota switched on',
      recorded.tasmotaPow,
      { ...at('/cm?cmnd=Power%20On', 'POWER'), on: 'ON', off: 'OFF' },
      'on',
    ],
    [
      'Tasmota switched off',
      recorded.tasmotaPow,
      { ...at('/cm?cmnd=Power%20Off', 'POWER'), on: 'ON', off: 'OFF' },
      'off',
    ],
    [
      'other texts',
      recorded.tasmotaStateText,
      { ...at('/cm?cmnd=Power1%20On', 'POWER1'), on: '1', off: '0' },
      'on',
    ],
    ['Shelly 1', recorded.shelly1, at('/relay/0', 'ison'), 'off'],
    ['Shelly Plug S', recorded.shellyPlugS, at('/status', 'relays.0.ison'), 'on'],
    ['Shelly Plug US Gen4', recorded.shellyPlugGen4, at('/rpc/Shelly.GetStatus', 'switch:0.output'), 'off'],
    [
      'Shelly Plus 1PM',
      recorded.shellyPlus1Pm,
      at('/device/status', 'data.device_status.switch:0.output'),
      'on',
    ],
    ['Shelly without a meter', recorded.shellyWithoutMeter, at(status, 'output'), 'off'],
  ])('state of %s', async (_plug, answers, readPower, state) => {
    await startRecorded(answers);
    expect(await driverOf({ readPower }).readPower(never)).toBe(state);
  });

  const gen4State = { readPower: at('/rpc/Shelly.GetStatus', 'switch:0.output') };

  test.each<[string, recorded.RecordedAnswer[], object, number | undefined]>([
    ['Tasmota', recorded.tasmotaPow, { meter: tasmotaMethod.meter }, 10],
    ['Tasmota, 0 W of a state that nobody reads', recorded.tasmotaS31, { meter: status10 }, undefined],
    [
      'Shelly Plug US Gen4, 0 W and off',
      recorded.shellyPlugGen4,
      { meter: at('/rpc/Shelly.GetStatus', 'switch:0.apower'), ...gen4State },
      0,
    ],
    [
      'Shelly Plus 1PM',
      recorded.shellyPlus1Pm,
      { meter: at('/device/status', 'data.device_status.switch:0.apower') },
      9.2,
    ],
    ['Shelly Plug S', recorded.shellyPlugS, { meter: at('/status', 'meters.0.power') }, 0.02],
  ])('watts of %s', async (_plug, answers, method, powerWatts) => {
    await startRecorded(answers);
    expect(await driverOf(method).meter(never)).toMatchObject({ powerWatts });
  });

  test.each<[string, recorded.RecordedAnswer[], object, string]>([
    [
      'Tasmota',
      recorded.tasmotaWithoutMeter,
      tasmotaMethod.meter,
      'the answer has no StatusSNS.ENERGY.Power',
    ],
    ['Shelly', recorded.shellyWithoutMeter, shellyMethod.meter, 'the answer has no apower'],
    [
      'Shelly asked for more',
      recorded.shellyWithoutMeter,
      at('/rpc/EM.GetStatus?id=0', 'apower'),
      'No handler for EM.GetStatus',
    ],
  ])('a %s without a meter says so', async (_plug, answers, meter, text) => {
    await startRecorded(answers);
    expect((await failureOf(driverOf({ meter }).meter(never))).message).toContain(text);
  });
});

describe('headers, bodies and credentials', () => {
  let seen: { headers: IncomingMessage['headers']; body: string; method: string | undefined }[];
  beforeEach(async () => {
    plug = await startFakePlug(shellyGen2());
    seen = [];
  });
  const take = (answer: (request: IncomingMessage, response: ServerResponse) => void) => {
    plug.script = (request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        seen.push({ headers: request.headers, body, method: request.method });
        answer(request, response);
      });
    };
  };

  test('are sent as they are said', async () => {
    take((_request, response) => response.end('{}'));
    const wake = { method: 'POST', path: '/rpc', body: '{"method":"Switch.Set"}' };
    const driver = driverOf({
      wake,
      headers: { 'Content-Type': 'application/json' },
      secretHeaders: { 'X-Auth': 'env:KEY' },
      auth: { kind: 'basic', username: 'admin', password: 'env:PLUG' },
    });
    await driver.wake(never);
    expect(seen).toEqual([
      {
        method: 'POST',
        body: wake.body,
        headers: expect.objectContaining({
          'content-type': 'application/json',
          'x-auth': secretText,
          authorization: `Basic ${Buffer.from(`admin:${secretText}`).toString('base64')}`,
        }),
      },
    ]);
  });

  test.each<[string, Dialogue, 'basic' | 'digest', number]>([
    ['basic', shellyGen1('admin:another'), 'basic', 1],
    ['digest', shellyGen2('another'), 'digest', 2],
    ['digest that counts', shellyGen2('another', 2), 'digest', 2],
  ])('%s: a wrong password is unauthorized, and not tried again', async (_what, dialogue, kind, sent) => {
    await plug.close();
    plug = await startFakePlug(dialogue);
    const method = kind === 'basic' ? gen1Method : shellyMethod;
    const failure = await failureOf(driverOf({ ...method, auth: login(kind) }).readPower(never));
    expect([failure.kind, plug.requests.length]).toEqual(['unauthorized', sent]);
  });
});

describe('when it goes wrong', () => {
  beforeEach(async () => {
    plug = await startFakePlug(shellyGen2());
  });
  const read = (method: object = {}) =>
    driverOf({ ...shellyMethod, requestTimeoutMs: 1_000, ...method }).readPower(never);

  test.each<[string, NonNullable<FakePlug['script']>, string]>([
    ['hangs', () => {}, 'unreachable'],
    ['resets', (request) => request.socket.resetAndDestroy(), 'unreachable'],
    ['is no JSON', (_request, response) => response.end('<html>'), 'protocol'],
    ['is JSON without the value', (_request, response) => response.end('{"output":null}'), 'protocol'],
    ['is a state that is none', (_request, response) => response.end('{"output":"maybe"}'), 'protocol'],
    ['is endless', (_request, response) => response.end('x'.repeat(10_000_000)), 'protocol'],
    ['is a redirect', (_request, response) => response.writeHead(302).end(), 'protocol'],
    ['is 401', (_request, response) => response.writeHead(401).end(), 'unauthorized'],
    ['is 404', (_request, response) => response.writeHead(404).end(), 'refused'],
  ])('an answer that %s', async (_what, script, kind) => {
    plug.script = script;
    expect(await kindOf(read())).toBe(kind);
  });

  test('a certificate that nobody vouches for is unauthorized, a pinned one is taken', async () => {
    const bench = createBench();
    await bench.open();
    const device = await bench.createBmc();
    const readPower = { path: '/redfish/v1/Systems/1', jsonPath: 'PowerState', on: 'On', off: 'Off' };
    const { fingerprint256 } = bench.certificate();
    const other = `${fingerprint256.startsWith('00') ? 'FF' : '00'}${fingerprint256.slice(2)}`;
    const kinds = [{}, { tls: { fingerprint256: other } }].map((tls) =>
      kindOf(driverOf({ url: device.url, readPower, ...tls }).readPower(never)),
    );
    expect(await Promise.all(kinds)).toEqual(['unauthorized', 'unauthorized']);
    expect(device.requests).toEqual([]);
    const pinned = driverOf({
      url: device.url,
      tls: { fingerprint256 },
      readPower: { ...readPower, path: '/' },
    });
    await failureOf(pinned.readPower(never));
    expect(device.requests).toHaveLength(1);
    await bench.clear();
  });

  test('503 says when to come back', async () => {
    plug.script = (_request, response) => response.writeHead(503, { 'retry-after': '7' }).end('rebooting');
    const failure = await failureOf(read());
    expect([failure.kind, failure.retryAfterMs, failure.message]).toEqual([
      'busy',
      7_000,
      'web-1: readPower by http: status 503: rebooting',
    ]);
  });

  test('a plug without that switch names it', async () => {
    const failure = await failureOf(
      read({ readPower: { path: '/rpc/Switch.GetStatus?id=5', jsonPath: 'output' } }),
    );
    expect(failure.message).toContain("Argument 'id', value 5 not found!");
  });

  test('a command whose connection is lost is not sent twice, a reading is', async () => {
    let count = 0;
    plug.script = (request) => {
      count += 1;
      request.socket.destroy();
    };
    const { wake } = shellyMethod;
    expect(await kindOf(driverOf({ wake }).wake(never))).toBe('unreachable');
    expect(count).toBe(1);
    expect(await kindOf(read())).toBe('unreachable');
    expect(count).toBe(3);
  });

  test('watts that are none', async () => {
    plug.script = (_request, response) => response.end('{"apower":"-3"}');
    const failure = await failureOf(driverOf(shellyMethod).meter(never));
    expect([failure.kind, failure.message]).toEqual([
      'protocol',
      'web-1: meter: no number of watts (got "-3")',
    ]);
  });

  test('a cancelled call ends with its reason', async () => {
    const abort = new AbortController();
    plug.script = () => abort.abort(new Error('stopping'));
    await expect(driverOf(shellyMethod).readPower(abort.signal)).rejects.toThrow('stopping');
  });

  test('what is not configured is unsupported', async () => {
    const driver = driverOf({ meter: shellyMethod.meter });
    expect([...driver.capabilities]).toEqual(['meter']);
    expect(await kindOf(driver.wake(never))).toBe('unsupported');
  });
});

describe('without a plug', () => {
  beforeEach(async () => {
    plug = await startFakePlug(shellyGen2());
  });

  test.each<[string, string, object, string | undefined]>([
    ['a list', '{"a":[{"b":1}]}', { jsonPath: 'a.0.b' }, '1'],
    ['what every object has', '{}', { jsonPath: 'constructor' }, undefined],
    ['an object', '{"a":{}}', { jsonPath: 'a' }, undefined],
    ['a pattern', 'Relay 1: <b>ON</b>', { pattern: '<b>(ON|OFF)</b>' }, 'ON'],
    ['a pattern that is not there', 'Relay', { pattern: '(ON|OFF)' }, undefined],
  ])('a value in %s', (_what, body, place, value) => expect(textAt(body, place)).toBe(value));

  // RFC 7616, 3.9.1.
  test.each<[string, string]>([
    ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
    ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
  ])('the example of RFC 7616 by %s', (algorithm, response) => {
    const challenge = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`;
    const request = {
      method: 'GET',
      path: '/dir/index.html',
      username: 'Mufasa',
      password: 'Circle of Life',
      cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ',
    };
    expect(digestAuthorization(challenge, request)).toContain(`response="${response}"`);
    expect(digestAuthorization('Basic realm="x"', request)).toBeUndefined();
    expect(digestAuthorization('Digest nonce="x", algorithm=SHA-512-256', request)).toBeUndefined();
  });
});
