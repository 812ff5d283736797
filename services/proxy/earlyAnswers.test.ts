import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request as startRequest } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { freePort } from '../../libs/runtime/freePort.ts';
import { renderPrometheus } from '../../libs/runtime/metrics.ts';
import { describeWith } from '../power/drivers/testing/peers.ts';
import { createCertificates } from './testing/certificate.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

/**
 * Answers that come before the whole request has: the client gets them whole, by RFC 9112 9.6, whether it reads while
 * it sends or only when it has sent everything; and nothing of its body is ever taken for a request.
 */
let site: Site;
let sockets: Socket[];

beforeEach(() => {
  site = createSite();
  sockets = [];
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await site.close();
});

const mebibyte = 1024 * 1024;
const part = Buffer.alloc(64 * 1024, 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');

interface Told {
  readonly answer: string;
  /** What the client's socket said; undefined: the connection ended in order. */
  readonly error: string | undefined;
}

interface Upload {
  readonly head: string;
  /** By TLS, at this port. */
  readonly securePort?: number;
  /** Undefined: for as long as the connection takes it. */
  readonly bytes: number | undefined;
  readonly chunked?: boolean;
}

/** A client of the old kind: reads nothing before it has sent everything, and closes when the proxy has. */
async function sendThenRead({ head, securePort, bytes, chunked = false }: Upload): Promise<Told> {
  const at = { port: securePort ?? site.port, host: '127.0.0.1', allowHalfOpen: true };
  const socket =
    securePort === undefined
      ? connect(at)
      : connectTls({ ...at, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  sockets.push(socket);
  let error: string | undefined;
  socket.on('error', (failure: NodeJS.ErrnoException) => {
    error = failure.code;
  });
  const closed = once(socket, 'close').catch(() => undefined);
  socket.write(head, 'latin1');
  const most = bytes ?? Number.POSITIVE_INFINITY;
  for (let sent = 0; sent < most && !socket.destroyed; sent += part.length) {
    const piece = part.subarray(0, Math.min(part.length, most - sent));
    if (chunked) socket.write(`${piece.length.toString(16)}\r\n`);
    socket.write(piece);
    if (chunked) socket.write('\r\n');
    if (socket.writableNeedDrain) await Promise.race([once(socket, 'drain'), closed]).catch(() => undefined);
  }
  if (chunked) socket.write('0\r\n\r\n');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  socket.once('end', () => socket.end());
  await closed;
  return { answer, error };
}

const post = (headers: string) => `POST /upload HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
const large = post(`Content-Length: ${8 * mebibyte}\r\n`);
const chunked = post('Transfer-Encoding: chunked\r\n');

function expectLastAnswer({ answer, error }: Told, status: number): void {
  expect(error).toBeUndefined();
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
  expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
}

/** A server that reads nothing of a body and answers at once. */
const hasty = () => site.origin((_request, response) => response.writeHead(401).end('who?'));
/** A server that dies when a body has begun. */
const dying = () =>
  site.origin((request) => {
    request.once('data', () => request.socket.destroy());
  });

const swallowing = () => site.origin((request) => request.resume());
const body = { head: large, bytes: 8 * mebibyte };
const chunks = { head: chunked, bytes: 8 * mebibyte, chunked: true };

const cases: [string, number, () => Promise<number>, object, Upload][] = [
  ['a body announced too long', 413, hasty, { forwarding: { maxBodyBytes: 1_000 } }, body],
  ['a body that grows too long', 413, swallowing, { forwarding: { maxBodyBytes: mebibyte } }, chunks],
  ['a server that answers at once', 401, hasty, {}, body],
  ['a server that answers chunks at once', 401, hasty, {}, chunks],
  ['a server that dies in the middle', 502, dying, {}, body],
  ['no place to wait in', 503, hasty, { parking: { maxRequests: 0 } }, body],
];

test.each(cases)('%s: the client gets %i, whole', async (_what, status, origin, pool, upload) => {
  await site.start(configOf([await origin()], pool));
  if (status !== 503) await site.ready('s1');
  expectLastAnswer(await sendThenRead(upload), status);
});

const refusals: [string, number, string][] = [
  ['a host that is not served', 421, 'POST / HTTP/1.1\r\nHost: b\r\n'],
  ['a target that is refused', 400, 'POST /../ HTTP/1.1\r\nHost: a\r\n'],
  ['a header section without end', 431, `POST / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(100_000)}\r\n`],
  ['what is not HTTP', 400, 'POST / HTTP/1.1\r\nHost : a\r\n'],
  ['a tunnel', 405, 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n'],
];

test.each(refusals)('%s: the client gets %i, whole', async (_what, status, lines) => {
  await site.start(configOf([await hasty()], {}, { allowedHosts: ['a'] }));
  await site.ready('s1');
  const head = `${lines}Content-Length: ${8 * mebibyte}\r\n\r\n`;
  expectLastAnswer(await sendThenRead({ head, bytes: 8 * mebibyte }), status);
});

test('a request to another address is sent there, whatever body it has', async () => {
  await site.start(configOf([await hasty()], {}, { redirectToHttps: true }));
  expectLastAnswer(await sendThenRead(body), 308);
});

test('a waiting page for who sends a form', async () => {
  await site.start(configOf([await hasty()], { parking: { waitingPage: true } }));
  const head = `GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\nContent-Length: ${8 * mebibyte}\r\n\r\n`;
  expectLastAnswer(await sendThenRead({ head, bytes: 8 * mebibyte }), 503);
});

test('a client that sends on and on is cut off: after so many bytes, and after so long', async () => {
  const bounds = { lingerMs: 600_000, lingerBytes: mebibyte };
  await site.start(configOf([await hasty()], {}, bounds));
  await site.ready('s1');
  const endless = { head: post(`Content-Length: ${1024 * mebibyte}\r\n`), bytes: undefined };
  expect((await sendThenRead(endless)).error).toMatch(/^(ECONNRESET|EPIPE)$/);

  await site.harness.configure(configOf([await hasty()], {}, { ...bounds, lingerMs: 50 }));
  await site.ready('s1');
  const silent = connect({ port: site.port, host: '127.0.0.1', allowHalfOpen: true });
  sockets.push(silent);
  silent.resume().on('error', () => undefined);
  silent.write(large);
  await once(silent, 'end');
  // Our side stays open, and says nothing any more.
  await once(silent.end(), 'close');
});

test('what is pipelined behind a body that nobody read is not served', async () => {
  const seen: string[] = [];
  const origin = await site.origin((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end('ok');
  });
  await site.start(configOf([origin], { forwarding: { maxBodyBytes: 1_000 } }));
  await site.ready('s1');
  const bytes = part.length;
  const smuggling = { head: post(`Content-Length: ${bytes}\r\n`), bytes: 3 * bytes };
  expectLastAnswer(await sendThenRead(smuggling), 413);
  expect(seen).toEqual([]);
});

test('an answer under way is not mixed with the refusal of what is pipelined behind it', async () => {
  let end = () => {};
  const origin = await site.origin((request, response) => {
    if (request.url === '/other') response.end('other');
    else {
      response.writeHead(200, { 'content-length': 10 });
      response.write('first');
      end = () => response.end('-last');
    }
  });
  await site.start(configOf([origin]));
  await site.ready('s1');
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n`;
  // Refused in place of the answer that is waited for, or in the middle of it.
  for (const early of [true, false]) {
    const socket = connect({ port: site.port, host: '127.0.0.1' });
    sockets.push(socket);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.write(`${get('/')}\r\n${early ? 'no HTTP\r\n\r\n' : ''}`);
    while (!answer.includes('first')) await once(socket, 'data');
    if (!early) socket.write('no HTTP\r\n\r\n');
    await site.talk(`${get('/other')}Connection: close\r\n\r\n`);
    end();
    if (early) await once(socket, 'close');
    else while (!answer.includes('last')) await once(socket, 'data');
    expect(answer).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nfirst-last$/s);
  }
});

test('a keep-alive client under load: each request gets its own answer, whatever became of the one before', async () => {
  const origin = await site.origin((request, response) => {
    const { 'x-turn': turn } = request.headers;
    response.setHeader('x-turn', String(turn));
    if (request.url === '/hasty') response.writeHead(401).end('who?');
    else if (request.url === '/dying') request.once('data', () => request.socket.destroy());
    else {
      request.resume();
      request.once('end', () => response.end('ok'));
    }
  });
  const forwarding = { maxBodyBytes: 2 * mebibyte, maxAttempts: 1 };
  await site.start(configOf([origin], { forwarding, circuit: { ejectAfterFailures: 0 } }));
  await site.ready('s1');
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const ask = (turn: number, path: string, bytes: number): Promise<string> =>
    new Promise((resolve) => {
      const headers = { 'x-turn': turn, ...(turn % 2 === 0 ? { 'content-length': bytes } : {}) };
      const outgoing = startRequest({
        agent,
        port: site.port,
        host: '127.0.0.1',
        path,
        method: 'POST',
        headers,
      });
      outgoing.once('response', (response) => {
        const isOwn = [undefined, String(turn)].includes(response.headers['x-turn'] as string | undefined);
        response.resume().once('close', () => resolve(`${response.statusCode}${isOwn ? '' : ' of another'}`));
      });
      outgoing.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      for (let sent = 0; sent < bytes; sent += part.length) outgoing.write(part.subarray(0, bytes - sent));
      outgoing.end();
    });
  const kinds: [string, number, string][] = [
    ['/fine', mebibyte, '200'],
    ['/hasty', mebibyte, '401'],
    ['/dying', mebibyte, '502'],
    ['/fine', 3 * mebibyte, '413'],
    ['/fine', 100, '200'],
  ];
  const turns = Array.from({ length: 200 }, (_, turn) => turn);
  const told = await Promise.all(
    turns.map((turn) => {
      const [path, bytes] = kinds[turn % kinds.length] as [string, number, string];
      return ask(turn, path, bytes);
    }),
  );
  agent.destroy();
  expect(told).toEqual(turns.map((turn) => kinds[turn % kinds.length]?.[2]));
}, 30_000);

test.each(['http1', 'http2'])(
  'a client that stops sending gets 408, and its server is not blamed (%s)',
  async (protocol) => {
    const plain = await site.origin((request) => request.resume());
    const http2 = createHttp2Server((request) => request.resume());
    http2.listen(0, '127.0.0.1');
    await once(http2, 'listening');
    const port = protocol === 'http1' ? plain : (http2.address() as AddressInfo).port;
    const forwarding = { responseTimeoutMs: 100, protocol };
    await site.start(configOf([port], { forwarding, circuit: { ejectAfterFailures: 1 } }));
    await site.ready('s1');
    const answer = await site.talk(`${chunked}5\r\nhello\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    const lines = renderPrometheus(site.proxy?.metrics?.() ?? []).split('\n');
    expect(lines.filter((line) => /^nemuri_server_errors_total.* [1-9]/.test(line))).toEqual([]);
    http2.close();
  },
);

describe('over TLS', () => {
  const certificates = createCertificates();
  let port: number;

  beforeEach(async () => {
    port = await freePort('127.0.0.1');
    const tls = { host: '127.0.0.1', port, certificates: [await certificates.make('a')] };
    await site.start(configOf([await hasty()], { forwarding: { maxBodyBytes: mebibyte } }), { tls });
    await site.ready('s1');
  });

  afterEach(() => certificates.remove());

  test.each([
    ['a body announced too long', 413, large],
    ['a server that answers chunks at once', 401, chunked],
    ['what is not HTTP', 400, 'POST / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ])('HTTP/1.1, %s: the client gets %i, whole', async (_what, status, head) => {
    const bytes = 8 * mebibyte;
    const told = await sendThenRead({ head, securePort: port, bytes, chunked: head === chunked });
    expectLastAnswer(told, status);
  });

  test('HTTP/2: the client is told to send no more of a body that nobody reads', async () => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    const ask = async (headers: object) => {
      const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'a', ...headers });
      stream.on('error', () => undefined);
      const answered = once(stream, 'response');
      let text = '';
      stream.setEncoding('utf8').on('data', (more) => {
        text += more;
      });
      const pump = () => {
        while (!stream.destroyed && stream.write(part));
      };
      stream.on('drain', pump);
      pump();
      const [head] = await answered;
      // Node's client closes its half only when it has sent what it has; that the proxy has closed is known at once.
      while (!stream.closed) await setImmediate();
      return { status: head[':status'], text, code: stream.rstCode };
    };
    expect(await ask({})).toEqual({ status: 401, text: 'who?', code: 0 });
    expect(await ask({ 'content-length': 8 * mebibyte })).toMatchObject({ status: 413, code: 0 });
    session.destroy();
  });

  describeWith({ nghttp: 'nghttp2-client' }, 'as nghttp sees it', () => {
    test('the answer has ended before the client is told so', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'nemuri-early-'));
      const file = join(folder, 'body');
      await writeFile(file, Buffer.alloc(mebibyte));
      const url = `https://127.0.0.1:${port}/`;
      const { stdout } = await promisify(execFile)('nghttp', ['-v', '-d', file, url]);
      const end = stdout.indexOf('; END_STREAM', stdout.indexOf(':status: 401'));
      const reset = stdout.indexOf('recv RST_STREAM');
      expect(end).toBeGreaterThan(0);
      expect(reset).toBeGreaterThan(end);
      await rm(folder, { recursive: true });
    });
  });
});

test('an upgrade that finds no place to wait in is refused like any other request', async () => {
  await site.start(configOf([await hasty()], { parking: { maxRequests: 0 } }));
  const client = new WebSocket(`ws://127.0.0.1:${site.port}/chat`);
  client.on('error', () => undefined);
  const [, response] = await once(client, 'unexpected-response');
  expect(response.statusCode).toBe(503);
  expect(response.headers).toMatchObject({ 'content-type': 'application/problem+json', 'retry-after': '30' });
  client.terminate();
});
