import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { generate } from 'selfsigned';
import { fleetConfig } from '../domain/testing/builders.ts';
import type { HealthCheckConfig } from '../events/mod.ts';
import { freePort } from './freePort.ts';
import { decodeHealthResponse, encodeHealthRequest } from './grpcHealth.ts';
import { createProbe, type ProbeResult } from './probe.ts';
import { bodyOf, containsExpected, parseHead } from './rawHttp.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** What a server would be asked by this configuration. */
function probeOf(probe: object): HealthCheckConfig['probe'] {
  const { pools } = fleetConfig({ servers: 1, pool: { healthCheck: { probe } } });
  if (!pools.web) throw new Error('no pool');
  return pools.web.healthCheck.probe;
}

const ask = (url: string, probe: object = { kind: 'http' }, timeoutMs = 2_000): Promise<ProbeResult> =>
  createProbe(url, probeOf(probe))(timeoutMs);
const http = async (listener: RequestListener) => `http://127.0.0.1:${await listen(createServer(listener))}`;
const raw = async (answer: (socket: Socket) => void) =>
  `http://127.0.0.1:${await listen(createTcpServer(answer))}`;

describe('by HTTP', () => {
  test('tells silence from a refusal to serve', async () => {
    const silent = await ask(`http://127.0.0.1:${await freePort('127.0.0.1')}`);
    expect(silent).toMatchObject({ ok: false, answered: false });
    const url = await http((_request, response) => response.writeHead(503).end());
    expect(await ask(url)).toMatchObject({ ok: false, answered: true, detail: 'status 503' });
  });

  test('an answer that never comes is bounded in time, and somebody was there', async () => {
    const url = await http(() => {});
    expect(await ask(url, { kind: 'http' }, 50)).toEqual({
      ok: false,
      answered: true,
      detail: 'no answer within 50 ms',
      latencyMs: expect.any(Number),
    });
  });

  test('sends method, path, host and headers as configured', async () => {
    const seen: object[] = [];
    const url = await http(({ method, url: path, headers }, response) => {
      seen.push({ method, path, host: headers.host, key: headers['x-key'], connection: headers.connection });
      response.end();
    });
    const probe = {
      kind: 'http',
      method: 'HEAD',
      path: '/a?b=c',
      host: 'shop.example',
      headers: { 'X-Key': 'v 1' },
    };
    expect((await ask(url, probe)).ok).toBe(true);
    await ask(url);
    expect(seen).toEqual([
      { method: 'HEAD', path: '/a?b=c', host: 'shop.example', key: 'v 1', connection: 'close' },
      { method: 'GET', path: '/', host: new URL(url).host, key: undefined, connection: 'close' },
    ]);
  });

  test.each<[string, string, boolean]>([
    ['all well', 'all well', true],
    ['{"db":"up","cache":"up"}', '"db":"*"cache":"up"', true],
    ['{"cache":"up","db":"up"}', '"db":"*"cache":"up"', false],
    ['grün', 'ü', true],
    ['down', 'up', false],
  ])('a body %j, expected %j: %s', async (body, expectBody, ok) => {
    const url = await http((_request, response) => {
      response.write(body.slice(0, 3));
      response.end(body.slice(3));
    });
    expect(await ask(url, { kind: 'http', expectBody })).toMatchObject({ ok, answered: true });
  });

  test('no more than 64 KiB of a body is read', async () => {
    const url = await http((_request, response) => {
      const more = () => {
        if (!response.destroyed && response.write('x'.repeat(16_384))) setImmediate(more);
      };
      response.on('drain', more);
      more();
    });
    expect(await ask(url, { kind: 'http', expectBody: 'end' })).toMatchObject({
      ok: false,
      detail: 'status 200, without the expected text',
    });
  });

  test.each<[string, string]>([
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['HTTP/2 by surprise', 'HTTP/2 200 OK\r\n\r\n'],
    ['a status that is none', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a header without a name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(4_000)}`],
    ['nothing at all', ''],
    ['half an answer', 'HTTP/1.1 200 O'],
  ])('is strict: %s', async (_what, answer) => {
    const url = await raw((socket) => socket.end(answer));
    expect(await ask(url)).toMatchObject({ ok: false, answered: true });
  });

  test('an interim answer is none', async () => {
    const url = await raw((socket) => {
      socket.write('HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n');
      socket.end('HTTP/1.1 204 No Content\r\n\r\n');
    });
    expect(await ask(url)).toMatchObject({ ok: true, detail: 'status 204' });
  });
});

describe('by HTTPS', () => {
  test('verifies the name it asks for by the CA it is told', async () => {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'web.example' }], {
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'web.example' }] }],
    });
    const folder = await mkdtemp(join(tmpdir(), 'nemuri-ca-'));
    const caFile = join(folder, 'ca.pem');
    await writeFile(caFile, cert);
    const port = await listen(createTlsServer({ key, cert }, (_request, response) => response.end('ok')));
    const url = `https://127.0.0.1:${port}`;
    try {
      expect((await ask(url, { kind: 'http', tlsServerName: 'web.example', caFile })).ok).toBe(true);
      const refused = [
        await ask(url, { kind: 'http', tlsServerName: 'other.example', caFile }),
        await ask(url, { kind: 'http', tlsServerName: 'web.example' }),
        await ask(url, { kind: 'http', caFile: join(folder, 'gone.pem') }),
      ];
      expect(refused.map(({ ok, answered }) => [ok, answered])).toEqual(Array(3).fill([false, true]));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

test('by TCP needs no more than a connection', async () => {
  const url = await raw((socket) => socket.destroy());
  expect(await ask(url, { kind: 'tcp' })).toMatchObject({ ok: true, answered: true });
  const nobody = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
  expect(await ask(nobody, { kind: 'tcp' })).toMatchObject({ ok: false, answered: false });
});

describe('by gRPC, on a real server', () => {
  /** 1 SERVING, 2 NOT_SERVING. */
  const statuses: Record<string, number> = { '': 1, shop: 2 };
  let grpc: GrpcServer;
  let url: string;

  beforeAll(async () => {
    grpc = new GrpcServer();
    const check = {
      path: '/grpc.health.v1.Health/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Buffer) => value,
      requestDeserialize: (value: Buffer) => ({ service: value.subarray(2).toString('utf8') }),
      responseSerialize: (value: number) => Buffer.from([0x08, value]),
      responseDeserialize: (value: Buffer) => value,
    } as const;
    grpc.addService({ Check: check } as never, {
      Check: (
        call: { request: { service: string } },
        reply: (error: object | null, value?: number) => void,
      ) => {
        const value = statuses[call.request.service];
        if (value === undefined) reply({ code: status.NOT_FOUND });
        else reply(null, value);
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    url = `http://127.0.0.1:${port}`;
  });
  afterAll(() => grpc.forceShutdown());

  test.each<[string, boolean, string]>([
    ['', true, 'gRPC SERVING'],
    ['shop', false, 'gRPC NOT_SERVING'],
    ['unknown', false, 'grpc-status 5'],
  ])('service "%s": %s, %s', async (service, ok, detail) => {
    expect(await ask(url, { kind: 'grpc', service })).toMatchObject({ ok, answered: true, detail });
  });

  test('what hangs, and what is not there', async () => {
    const hanging = await raw(() => undefined);
    expect(await ask(hanging, { kind: 'grpc' }, 100)).toMatchObject({ ok: false, answered: true });
    const nobody = `http://127.0.0.1:${await freePort('127.0.0.1')}`;
    expect(await ask(nobody, { kind: 'grpc' })).toMatchObject({ ok: false, answered: false });
  });
});

describe('what is read and written by hand', () => {
  test('a gRPC health request and its answer', () => {
    expect(encodeHealthRequest('').toString('hex')).toBe('0000000000');
    expect(encodeHealthRequest('ab').toString('hex')).toBe('00000000040a026162');
    const frame = (hex: string) =>
      Buffer.from(`00${(hex.length / 2).toString(16).padStart(8, '0')}${hex}`, 'hex');
    expect(
      ['0801', '0802', '0803', '', '0809', '12026162' + '0801'].map((hex) =>
        decodeHealthResponse(frame(hex)),
      ),
    ).toEqual(['SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN', 'UNKNOWN', 'UNKNOWN', 'SERVING']);
    for (const bad of ['', '00', '0100000000', '0000000005' + '0801', '0000000001' + '08'])
      expect(() => decodeHealthResponse(Buffer.from(bad, 'hex'))).toThrow();
  });

  test('a body in chunks, cut anywhere, is the same body', () => {
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const text = `${head}3\r\nabc\r\n5;ext=1\r\nde\r\nf\r\n0\r\n\r\n`;
    for (let length = 0; length <= text.length; length += 1) {
      const part = text.slice(0, length);
      const parsed = parseHead(part);
      if (!parsed) expect(length).toBeLessThan(head.length);
      else expect('abcde\r\nf'.startsWith(bodyOf(part, parsed).body)).toBe(true);
    }
    const whole = parseHead(text);
    expect(whole && bodyOf(text, whole)).toEqual({ body: 'abcde\r\nf', whole: true });
  });

  test('the expected text, as a regular expression would find it', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 6 });
    const body = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 });
    fc.assert(
      fc.property(body, letters, (text, expected) => {
        expect(containsExpected(text, expected)).toBe(new RegExp(expected.replaceAll('*', '.*?')).test(text));
      }),
    );
  });
});
