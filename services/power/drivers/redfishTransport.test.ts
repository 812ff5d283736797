import { once } from 'node:events';
import { createServer } from 'node:net';
import { answers, createBench, cut, failureOf, hang, kindOf, never } from './testing/bench.ts';
import { errorBody, type FakeBmc, reply, resetPath, systemPath } from './testing/fakeBmc.ts';

const bench = createBench();
beforeAll(bench.open);
afterEach(bench.clear);

async function start(options: Parameters<typeof bench.createDriver>[1] = {}) {
  const bmc = await bench.createBmc();
  return { bmc, driver: bench.createDriver(bmc, options) };
}

describe('answers that are no success', () => {
  test.each([
    [400, 'refused'],
    [401, 'unauthorized'],
    [403, 'unauthorized'],
    [404, 'refused'],
    [405, 'refused'],
    [409, 'refused'],
    [429, 'busy'],
    [500, 'refused'],
    [501, 'unsupported'],
    [503, 'busy'],
    [504, 'unreachable'],
    [304, 'protocol'],
  ])('an empty %i to a command is %s', async (status, kind) => {
    const { bmc, driver } = await start();
    bmc.script('POST', resetPath, answers(status, undefined, { 'content-length': '0' }));
    expect(await kindOf(driver.wake(never))).toBe(kind);
  });

  test('the vendor message is told, on one line', async () => {
    const { bmc, driver } = await start();
    bmc.script('POST', resetPath, answers(400, errorBody('not\n now')));
    expect((await failureOf(driver.wake(never))).message).toBe(`web-1: POST ${resetPath}: 400 not now`);
  });

  test('a 200 that reports something critical is refused', async () => {
    const { bmc, driver } = await start();
    const error = { '@Message.ExtendedInfo': [{ Message: 'fan missing', Severity: 'Critical' }] };
    bmc.script('POST', resetPath, answers(200, { error }));
    expect(await kindOf(driver.wake(never))).toBe('refused');
  });

  test.each([
    ['7', 7_000],
    [new Date(1_000_000_005_000).toUTCString(), 5_000],
    ['soon', undefined],
  ])('Retry-After: %s', async (value, retryAfterMs) => {
    const { bmc, driver } = await start({ now: () => 1_000_000_000_000 });
    bmc.script('POST', resetPath, answers(503, undefined, { 'retry-after': value }));
    expect(await failureOf(driver.wake(never))).toMatchObject({ kind: 'busy', retryAfterMs });
  });

  test.each([['{"PowerState": '], ['[]'], ['"On"'], ['']])('the body %j is nonsense', async (body) => {
    const { bmc, driver } = await start();
    bmc.script('GET', systemPath, answers(200, body));
    expect(await kindOf(driver.readPower(never))).toBe('protocol');
  });

  test('a body beyond the bound is nonsense, with and without its length', async () => {
    const { bmc, driver } = await start({ limits: { maxBodyBytes: 10_000 } });
    const body = JSON.stringify({ Name: 'x'.repeat(10_000) });
    bmc.script('GET', systemPath, answers(200, body, { 'content-length': String(body.length) }), 1);
    expect(await kindOf(driver.readPower(never))).toBe('protocol');
    bmc.script('GET', systemPath, answers(200, body));
    expect(await kindOf(driver.readPower(never))).toBe('protocol');
  });
});

describe('no answer', () => {
  test('a hang is bounded by requestTimeoutMs', async () => {
    const { bmc, driver } = await start({ method: { requestTimeoutMs: 200 } });
    bmc.script('GET', systemPath, hang);
    expect(await failureOf(driver.readPower(never))).toMatchObject({
      kind: 'unreachable',
      message: `web-1: GET ${systemPath}: no answer within 200 ms`,
    });
  });

  test('so is a body that never ends', async () => {
    const { bmc, driver } = await start({ method: { requestTimeoutMs: 200 } });
    bmc.script('GET', systemPath, (_, response) => response.write('{'));
    expect(await kindOf(driver.readPower(never))).toBe('unreachable');
  });

  test('the caller can cancel, and gets its own reason', async () => {
    const { bmc, driver } = await start({ method: { requestTimeoutMs: 60_000 } });
    const caller = new AbortController();
    bmc.script('GET', systemPath, () => caller.abort(new Error('enough')));
    await expect(driver.readPower(caller.signal)).rejects.toThrow('enough');
    await expect(driver.readPower(caller.signal)).rejects.toThrow('enough');
  });

  test('also before there is a connection', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const driver = bench.createDriver(
      { url: `https://127.0.0.1:${port}` },
      { method: { requestTimeoutMs: 60_000 } },
    );
    const caller = new AbortController();
    silent.once('connection', (socket) => {
      silent.once('close', () => socket.destroy());
      caller.abort(new Error('enough'));
    });
    await expect(driver.readPower(caller.signal)).rejects.toThrow('enough');
    await driver.close();
    await new Promise((resolve) => {
      silent.close(resolve);
      silent.emit('close');
    });
  });

  test('a reading is asked for again when its connection died, a command never', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', systemPath, cut, 1);
    expect(await driver.readPower(never)).toBe('off');
    bmc.script('POST', resetPath, cut, 1);
    expect(await kindOf(driver.wake(never))).toBe('unreachable');
    expect(bmc.resets()).toEqual(['On']);
  });

  test('a connection that always dies is unreachable', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', systemPath, cut);
    expect(await kindOf(driver.readPower(never))).toBe('unreachable');
    expect(bmc.count('GET', systemPath)).toBe(2);
  });

  test('a closed port is unreachable', async () => {
    const { bmc, driver } = await start();
    await bmc.close();
    expect(await kindOf(driver.readPower(never))).toBe('unreachable');
  });

  test('an answer that is no TLS is nonsense', async () => {
    const plain = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await once(plain.listen(0, '127.0.0.1'), 'listening');
    const address = plain.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const driver = bench.createDriver({ url: `https://127.0.0.1:${port}` });
    expect(await kindOf(driver.readPower(never))).toBe('protocol');
    await new Promise((resolve) => plain.close(resolve));
  });
});

describe('tasks', () => {
  const monitor = '/redfish/v1/TaskService/TaskMonitors/9';

  function accept(
    bmc: FakeBmc,
    body?: unknown,
    headers: Record<string, string> = { location: monitor },
  ): void {
    bmc.script('POST', resetPath, answers(202, body, headers));
  }

  test.each([
    ['by its monitor', undefined, { location: monitor }],
    ['by a monitor under another host name', undefined, { location: `https://bmc.invalid${monitor}` }],
    ['by its body', { '@odata.id': monitor, TaskState: 'New' }, {}],
    ['by TaskMonitor', { '@odata.id': '/redfish/v1/x', TaskMonitor: monitor, TaskState: 'New' }, {}],
  ])('is followed %s to its end', async (_, body, headers) => {
    const { bmc, driver } = await start();
    accept(bmc, body, headers as Record<string, string>);
    bmc.script('GET', monitor, answers(202, { TaskState: 'Running' }), 1);
    bmc.script('GET', monitor, answers(503), 1);
    bmc.script('GET', monitor, answers(200, { TaskState: 'Running' }), 1);
    bmc.script('GET', monitor, answers(200, { TaskState: 'Completed', TaskStatus: 'OK' }));
    await driver.wake(never);
    expect(bmc.count('GET', monitor)).toBe(4);
  });

  test.each([
    ['answers for the command', 204, undefined],
    ['is gone when it is done', 404, undefined],
  ])('a monitor that %s', async (_, status, body) => {
    const { bmc, driver } = await start();
    accept(bmc);
    bmc.script('GET', monitor, answers(202), 1);
    bmc.script('GET', monitor, answers(status, body));
    await driver.wake(never);
    expect(bmc.count('GET', monitor)).toBe(2);
  });

  test.each([
    [
      'as Exception',
      200,
      { TaskState: 'Exception', Messages: [{ Message: 'no power' }] },
      /ended as Exception: no power/,
    ],
    ['as critical', 200, { TaskState: 'Completed', TaskStatus: 'Critical' }, /Completed/],
    ['with an error', 400, errorBody('not now'), /400 not now/],
  ])('that ends %s is refused', async (_, status, body, message) => {
    const { bmc, driver } = await start();
    accept(bmc);
    bmc.script('GET', monitor, answers(status, body));
    expect(await failureOf(driver.wake(never))).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(message),
    });
  });

  test('that never ends is bounded by taskTimeoutMs', async () => {
    const { bmc, driver } = await start({ method: { taskTimeoutMs: 100 } });
    accept(bmc);
    bmc.script('GET', monitor, answers(202));
    expect(await failureOf(driver.wake(never))).toMatchObject({
      kind: 'unreachable',
      message: `web-1: ${monitor}: the task did not end within 100 ms`,
    });
  });

  test('so is one whose monitor hangs', async () => {
    const { bmc, driver } = await start({ method: { taskTimeoutMs: 100, requestTimeoutMs: 60_000 } });
    accept(bmc);
    bmc.script('GET', monitor, hang);
    expect(await kindOf(driver.wake(never))).toBe('unreachable');
  });

  test('can be cancelled by the caller', async () => {
    const { bmc, driver } = await start();
    const caller = new AbortController();
    accept(bmc);
    bmc.script('GET', monitor, (_, response) => {
      reply(response, 202, undefined, { 'retry-after': '60' });
      response.once('finish', () => caller.abort(new Error('enough')));
    });
    await expect(driver.wake(caller.signal)).rejects.toThrow('enough');
  });

  test('a 202 that names no task was taken', async () => {
    const { bmc, driver } = await start();
    accept(bmc, undefined, {});
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On']);
  });
});

describe('addresses', () => {
  test('redirects are followed on the same origin, a bounded number of times', async () => {
    const { bmc, driver } = await start();
    bmc.script('GET', systemPath, answers(308, undefined, { location: `${systemPath}/` }), 1);
    bmc.resources.set(`${systemPath}/`, { PowerState: 'On' });
    expect(await driver.readPower(never)).toBe('on');
    bmc.script('GET', systemPath, answers(302, undefined, { location: systemPath }));
    expect(await kindOf(driver.readPower(never))).toBe('protocol');
    expect(bmc.count('GET', systemPath)).toBe(5);
  });

  test('never to another origin, nor a command where that would change it', async () => {
    const { bmc, driver } = await start();
    const other = await bench.createBmc();
    bmc.script('GET', systemPath, answers(307, undefined, { location: other.url + systemPath }), 1);
    const failure = await failureOf(driver.readPower(never));
    expect([failure.kind, failure.message]).toEqual(['protocol', expect.stringContaining('another origin')]);
    bmc.script('POST', resetPath, answers(302, undefined, { location: `${resetPath}/` }), 1);
    expect(await kindOf(driver.wake(never))).toBe('protocol');
    expect(other.requests).toEqual([]);
  });

  test.each([['@'], ['.'], ['full']])('a target elsewhere (%s) is not called', async (trick) => {
    const { bmc, driver } = await start();
    const other = await bench.createBmc();
    const host = new URL(other.url).host;
    const target = trick === 'full' ? `${other.url}/Reset` : `${trick}${host}/Reset`;
    bmc.system().Actions = { '#ComputerSystem.Reset': { target } };
    expect(await kindOf(driver.wake(never))).toBe('protocol');
    expect(other.requests).toEqual([]);
  });

  test('a full address of its own is called', async () => {
    const { bmc, driver } = await start();
    bmc.system().Actions = { '#ComputerSystem.Reset': { target: bmc.url + resetPath } };
    await driver.wake(never);
    expect(bmc.resets()).toEqual(['On']);
  });
});
