import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import fc from 'fast-check';
import { until } from '../../libs/bus/testing/until.ts';
import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { startOtlp } from '../../services/console/otlp.ts';
import { createTraceStore } from '../../services/console/traces.ts';
import { type HeartbeatHttp, listenForHeartbeats } from '../../services/health/heartbeatHttp.ts';
import { DriverError } from '../../services/power/drivers/driver.ts';
import { createBench, never } from '../../services/power/drivers/testing/bench.ts';
import { resetPath, systemPath } from '../../services/power/drivers/testing/fakeBmc.ts';
import { acceptProxied } from '../../services/proxy/acceptProxied.ts';
import { createHarness, type Harness } from '../../services/testing/harness.ts';
import { expectUnpolluted, near, nearJson } from './hostile.ts';

/** Hostile peers at real sockets. After all of it the service still serves, and keeps nothing of them. */

afterEach(expectUnpolluted);

const patienceMs = 3_000;

/** Sends the bytes and resolves with what came back until the other side closed, or said a whole answer. */
function speak(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`neither answered nor closed within ${patienceMs} ms`));
    }, patienceMs);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
    // What is not whole when we end is to be given up, not waited for.
    socket.end(bytes);
  });
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

function postOf(path: string, body: string, fields: readonly string[] = []): string {
  const lines = [`POST ${path} HTTP/1.1`, 'host: x', 'connection: close', 'content-type: application/json'];
  return `${[...lines, ...fields, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`;
}

describe('heartbeats by HTTP', () => {
  const fields = ['authorization: Bearer right'];
  const said = {
    bootId: 'b1',
    wish: 'ready',
    weightPercent: 50,
    shuttingDown: false,
    load1: 1.5,
    uptimeMs: 1,
  };
  let harness: Harness;
  let server: HeartbeatHttp;
  let port: number;
  let closeView: () => Promise<void>;

  beforeAll(async () => {
    harness = createHarness();
    const bounds = { maxHeartbeatsPerMinute: 10_000 };
    const heartbeat = { token: 'env:TOKEN' };
    await harness.configure(fleetConfig({ servers: 1, server: { heartbeat }, bounds }));
    const context = harness.context('health');
    const view = await openFleetView({ bus: context.bus, name: 'health', onProblem: () => undefined });
    closeView = view.close;
    const listen = { host: '127.0.0.1', port: 0 };
    server = await listenForHeartbeats({ ...context, view, listen, readSecret: async () => 'right' });
    port = Number(new URL(server.url).port);
  });
  afterAll(async () => {
    await server?.close();
    await closeView?.();
    await harness?.close();
  });

  test('any bytes are answered or closed, never by an error of ours', async () => {
    const whole = postOf('/v1/heartbeat/s1', JSON.stringify(said), fields);
    const cases = near(whole, postOf('/v1/heartbeat/s1', '', fields));
    await fc.assert(
      fc.asyncProperty(cases, async (bytes) => {
        expect(statusOf(await speak(port, bytes))).not.toBe(500);
      }),
      { numRuns: 250 },
    );
  });

  test('any JSON is taken or refused', async () => {
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(nearJson(said), async (value) => {
        const status = statusOf(
          await speak(port, Buffer.from(postOf('/v1/heartbeat/s1', JSON.stringify(value), fields))),
        );
        expect([204, 400, 413]).toContain(status);
        seen.add(status);
      }),
      { numRuns: 250 },
    );
    expect([...seen].toSorted()).toEqual(expect.arrayContaining([204, 400]));
  });
});

test('the receiver of spans answers any bytes and any JSON', async () => {
  const traces = createTraceStore();
  const otlp = await startOtlp({ host: '127.0.0.1', port: 0 }, traces);
  const span = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    name: 'wake',
    startTimeUnixNano: '1700000000000000000',
    endTimeUnixNano: '1700000000100000000',
    attributes: [{ key: 'a', value: { stringValue: 'x' } }],
  };
  const body = { resourceSpans: [{ resource: { attributes: [] }, scopeSpans: [{ spans: [span] }] }] };
  const bodies = nearJson(body).map((value) => Buffer.from(postOf('/v1/traces', JSON.stringify(value))));
  try {
    await fc.assert(
      fc.asyncProperty(fc.oneof(bodies, near(postOf('/v1/traces', JSON.stringify(body)))), async (bytes) => {
        expect(statusOf(await speak(otlp.port, bytes))).not.toBe(500);
      }),
      { numRuns: 300 },
    );
    expect(statusOf(await speak(otlp.port, Buffer.from(postOf('/v1/traces', JSON.stringify(body)))))).toBe(
      200,
    );
  } finally {
    await otlp.stop();
  }
});

test('a port behind the PROXY protocol hands on what is right and closes the rest', async () => {
  const open = new Set<unknown>();
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume().end('handed on');
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  acceptProxied(
    server,
    () => ({ trusts: () => true, headerTimeoutMs: 500 }),
    () => undefined,
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000c0a0000010a00000201bb01bb', 'hex');
  await fc.assert(
    fc.asyncProperty(near('PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /', v2), async (bytes) => {
      expect(['', 'handed on']).toContain(await speak(port, bytes));
    }),
    { numRuns: 200 },
  );
  expect(await speak(port, Buffer.from('PROXY UNKNOWN\r\n'))).toBe('handed on');
  server.close();
  await once(server, 'close');
  await until(() => open.size === 0);
});

describe('a hostile BMC', () => {
  const bench = createBench();
  beforeAll(bench.open);
  afterEach(bench.clear);

  test('is read as a state, or a failure by name: no crash, no hang', async () => {
    const bmc = await bench.createBmc();
    const limits = { requestTimeoutMs: 500, taskTimeoutMs: 500 };
    const driver = bench.createDriver(bmc, { method: limits });
    const system = JSON.stringify(bmc.system());
    const bodies = fc.oneof(
      near(system),
      nearJson(bmc.system()).map((value) => Buffer.from(JSON.stringify(value))),
    );
    const answers = fc.record({
      status: fc.constantFrom(200, 200, 200, 202, 204, 301, 400, 401, 404, 412, 429, 500, 503, 599),
      body: bodies,
      headers: fc.dictionary(
        fc.constantFrom('location', 'retry-after', 'etag', 'content-type', 'x-auth-token'),
        fc.constantFrom(
          '',
          '/',
          '//169.254.169.254/',
          '0',
          '-1',
          '1e9',
          'x'.repeat(3_000),
          systemPath,
          resetPath,
        ),
      ),
    });
    await fc.assert(
      fc.asyncProperty(answers, fc.boolean(), async ({ status, body, headers }, reads) => {
        const [method, path] = reads ? ['GET', systemPath] : ['POST', resetPath];
        bmc.script(
          method as string,
          path as string,
          (_, response) => void response.writeHead(status, headers).end(body),
          1,
        );
        const within = AbortSignal.timeout(patienceMs);
        const work = reads ? driver.readPower(within) : driver.wake(within);
        const failure = await work.then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure !== undefined) expect(failure).toBeInstanceOf(DriverError);
        expect(within.aborted).toBe(false);
      }),
      { numRuns: 150 },
    );
    // It is right again: so are we.
    expect(bmc.requests.length).toBeGreaterThan(150);
    expect(await driver.readPower(never)).toBeDefined();
  });

  test('that sends without end is cut off', async () => {
    const bmc = await bench.createBmc();
    const driver = bench.createDriver(bmc, { method: { requestTimeoutMs: 10_000 } });
    const before = process.memoryUsage().rss;
    let sent = 0;
    bmc.script(
      'GET',
      systemPath,
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const chunk = Buffer.alloc(64 * 1_024, '[');
        const more = () => {
          while (!response.destroyed && sent < 1_024 * 1_024 * 1_024) {
            sent += chunk.length;
            if (!response.write(chunk)) return void response.once('drain', more);
          }
        };
        more();
      },
      5,
    );
    await expect(driver.readPower(never)).rejects.toBeInstanceOf(DriverError);
    expect(sent).toBeLessThan(64 * 1_024 * 1_024);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 1_024 * 1_024);
  });
});
