import { once } from 'node:events';
import { inspect } from 'node:util';
import { answers, createBench, cut, failureOf, hang, kindOf, never } from './testing/bench.ts';
import {
  errorBody,
  password,
  reply,
  resetPath,
  type Script,
  sessionsPath,
  systemPath,
} from './testing/fakeBmc.ts';

const bench = createBench();
beforeAll(bench.open);
afterEach(bench.clear);

async function start(options: Parameters<typeof bench.createDriver>[1] = {}) {
  const bmc = await bench.createBmc();
  return { bmc, driver: bench.createDriver(bmc, options) };
}

describe('sessions', () => {
  test('parallel calls share one, and a session time-out of 0 means nothing', async () => {
    const { bmc, driver } = await start();
    await Promise.all(Array.from({ length: 8 }, () => driver.readPower(never)));
    await driver.readPower(never);
    expect([bmc.count('POST', sessionsPath), bmc.sessions.size]).toEqual([1, 1]);
  });

  test('a 401 midway: one new login for all', async () => {
    const { bmc, driver } = await start();
    await driver.readPower(never);
    bmc.sessions.clear();
    await Promise.all(Array.from({ length: 8 }, () => driver.readPower(never)));
    expect([bmc.count('POST', sessionsPath), bmc.sessions.size]).toEqual([2, 1]);
  });

  test('a command that met a 401 is sent once more', async () => {
    const { bmc, driver } = await start();
    bmc.script('POST', resetPath, answers(401), 1);
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On', 'On']);
    expect(await driver.readPower(never)).toBe('on');
  });

  test('a resource that always says 401 fills no session table and locks nobody out', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', '/redfish/v1/Chassis/1', answers(401));
    expect(await kindOf(driver.meter(never))).toBe('unauthorized');
    expect(await kindOf(driver.meter(never))).toBe('unauthorized');
    expect(bmc.sessions.size).toBe(1);
    await driver.wake(never);
  });

  test('one caller that gives up does not take the login from the others', async () => {
    const { bmc, driver } = await start();
    const caller = new AbortController();
    let release = () => {};
    bmc.script('GET', '/redfish/v1', (_, response) => {
      release = () => reply(response, 200, bmc.resources.get('/redfish/v1'));
      caller.abort(new Error('enough'));
    });
    const impatient = driver.readPower(caller.signal);
    const patient = driver.readPower(never);
    await expect(impatient).rejects.toThrow('enough');
    release();
    expect(await patient).toBe('off');
    expect(bmc.count('POST', sessionsPath)).toBe(1);
  });

  test('refused credentials are not tried again at once: BMCs lock accounts', async () => {
    let nowMs = 0;
    let secret = 'wrong';
    const { bmc, driver } = await start({ now: () => nowMs, resolveSecret: () => secret });
    expect(await kindOf(driver.readPower(never))).toBe('unauthorized');
    secret = password;
    expect(await failureOf(driver.readPower(never))).toMatchObject({
      kind: 'unauthorized',
      retryAfterMs: 30_000,
    });
    expect(bmc.count('POST', sessionsPath)).toBe(1);
    nowMs = 30_000;
    expect(await driver.readPower(never)).toBe('off');
  });

  test.each([[404], [405], [501]])('a %i from the session service: basic authentication', async (status) => {
    const { bmc, driver } = await start();
    bmc.script('POST', sessionsPath, answers(status));
    await driver.wake(never);
    expect([bmc.resets(), bmc.count('POST', sessionsPath)]).toEqual([['On'], 1]);
  });

  test('so does a full session table', async () => {
    const { bmc, driver } = await start();
    bmc.script('POST', sessionsPath, answers(503, errorBody('full', 'Base.1.8.SessionLimitExceeded')));
    expect(await driver.readPower(never)).toBe('off');
  });

  test('basic authentication that is refused is not tried again at once', async () => {
    const { bmc, driver } = await start({ now: () => 0, resolveSecret: () => 'wrong' });
    bmc.script('POST', sessionsPath, answers(404));
    expect(await kindOf(driver.readPower(never))).toBe('unauthorized');
    const before = bmc.requests.length;
    expect(await kindOf(driver.readPower(never))).toBe('unauthorized');
    expect(bmc.requests).toHaveLength(before);
  });

  test.each([
    [428, 'refused'],
    [202, 'protocol'],
  ])('a login answered with %i does not wait for itself', async (status, kind) => {
    const { bmc, driver } = await start();
    bmc.script('POST', sessionsPath, answers(status, undefined, { location: '/redfish/v1/x' }));
    expect(await kindOf(driver.readPower(never))).toBe(kind);
  });

  test('a root that wants a login leads to the standard path', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', '/redfish/v1', answers(401));
    expect(await driver.readPower(never)).toBe('off');
    expect(bmc.sessions.size).toBe(1);
  });

  test('a root without a link leads to the standard path', async () => {
    const { bmc, driver } = await start();
    bmc.resources.set('/redfish/v1', {});
    expect(await driver.readPower(never)).toBe('off');
    expect(bmc.sessions.size).toBe(1);
  });

  test('close logs out and closes the sockets; afterwards nothing opens', async () => {
    const { bmc, driver } = await start();
    await driver.readPower(never);
    await Promise.all([driver.close(), driver.close()]);
    expect(bmc.sessions.size).toBe(0);
    while (bmc.openSockets.size > 0) await once([...bmc.openSockets][0] ?? process, 'close');
    expect(await kindOf(driver.readPower(never))).toBe('unreachable');
  });

  test('close is bounded, and ends what is under way', async () => {
    const { bmc, driver } = await start({
      limits: { closeTimeoutMs: 100 },
      method: { requestTimeoutMs: 60_000 },
    });
    await driver.readPower(never);
    bmc.script('DELETE', `${sessionsPath}/1`, hang);
    const asked = new Promise<void>((resolve) => bmc.script('GET', systemPath, () => resolve()));
    const pending = kindOf(driver.readPower(never));
    await asked;
    await driver.close();
    expect(await pending).toBe('unreachable');
  });

  test('a session that is being opened at the close is closed too', async () => {
    const { bmc, driver } = await start();
    const closing = new Promise<void>((resolve) => {
      bmc.script('GET', '/redfish/v1', (_, response) => {
        resolve(driver.close());
        reply(response, 200, bmc.resources.get('/redfish/v1'));
      });
    });
    await Promise.allSettled([driver.readPower(never), closing]);
    await closing;
    expect([bmc.count('POST', sessionsPath), bmc.sessions.size]).toEqual([1, 0]);
  });
});

test('no secret is in any error', async () => {
  const failures: unknown[] = [];
  const collect = async (call: Promise<unknown>) => failures.push(await failureOf(call));
  const echo: Script = ({ headers, body }, response) =>
    reply(
      response,
      400,
      errorBody(`${JSON.stringify(headers)} ${body} ${body && JSON.parse(body).Password}`),
    );

  const first = await start();
  first.bmc.script('POST', sessionsPath, echo);
  await collect(first.driver.readPower(never));

  const second = await start();
  second.bmc.script('GET', systemPath, echo);
  await collect(second.driver.readPower(never));
  second.bmc.script('DELETE', `${sessionsPath}/1`, echo);

  const third = await start();
  third.bmc.script('POST', sessionsPath, answers(404));
  third.bmc.script('GET', '/redfish/v1/Systems', echo);
  await collect(third.driver.readPower(never));

  // Where the message is cut, no half of a secret may be left.
  const long = await start();
  long.bmc.script('POST', sessionsPath, ({ body }, response) =>
    reply(response, 400, errorBody(`${'x'.repeat(295)}${JSON.parse(body).Password}`)),
  );
  await collect(long.driver.readPower(never));

  const fourth = await start({ resolveSecret: () => Promise.reject(new Error(`half of ${password}`)) });
  await collect(fourth.driver.readPower(never));
  const cutOff = await start();
  cutOff.bmc.script('POST', sessionsPath, cut);
  await collect(cutOff.driver.readPower(never));

  const seen = inspect([failures, first.driver, second.driver, third.driver], {
    depth: 12,
    showHidden: true,
  });
  expect(failures).toHaveLength(6);
  const basic = Buffer.from(`nemuri:${password}`).toString('base64');
  for (const secret of [password, JSON.stringify(password).slice(1, -1), 'token-1-secret', basic])
    expect(seen).not.toContain(secret);
  expect(seen).toContain('***');
  expect(seen).not.toContain('xhunt');
  expect(failures[4]).toMatchObject({
    kind: 'unauthorized',
    message: expect.stringContaining('env:BMC_PASSWORD'),
  });
});
