import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2, createSecureServer } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { freePort } from '../../libs/runtime/freePort.ts';
import { createCertificates } from './testing/certificate.ts';
import { configOf, createSite, type Site } from './testing/site.ts';
import type { TlsSettings } from './tls.ts';

let site: Site;
let session: ClientHttp2Session | undefined;
const certificates = createCertificates();

beforeEach(() => {
  site = createSite();
});

afterEach(async () => {
  session?.destroy();
  session = undefined;
  await site.close();
  await certificates.remove();
});

async function before(port: number, pool: object = {}): Promise<void> {
  await site.start(configOf([port], pool));
  await site.ready('s1');
}

const lastGet = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

test('Expect: 100-continue: the body is asked for, the word stays here', async () => {
  let expectation: string | undefined;
  await before(
    await site.origin((request, response) => {
      expectation = request.headers.expect;
      request.pipe(response);
    }),
  );
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n';
  const answer = await site.talk(`${head}Connection: close\r\n\r\nhello`);
  expect(answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n.*\r\nhello\r\n0\r\n\r\n$/s);
  expect(expectation).toBeUndefined();
});

test('Expect: 100-continue: a body that is too large is not asked for', async () => {
  await before(await site.origin((_request, response) => response.end()), {
    forwarding: { maxBodyBytes: 10 },
  });
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n';
  expect(await site.talk(head, (answer) => answer.includes('}'))).toMatch(/^HTTP\/1\.1 413 /);
});

test.each(['HEAD', 'GET'])('%s: length and body as the server gave them', async (method) => {
  await before(
    await site.origin((_request, response) => response.setHeader('content-length', 5).end('hello')),
  );
  const answer = await site.talk(`${method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  expect(answer.toLowerCase()).toContain('content-length: 5\r\n');
  expect(answer.endsWith(method === 'HEAD' ? '\r\n\r\n' : '\r\n\r\nhello')).toBe(true);
});

const early =
  'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n';

test('1xx answers go on before the answer, but not to a client of HTTP/1.0', async () => {
  await before(
    await site.rawOrigin((socket) =>
      socket.on('data', () => socket.end(`${early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`)),
    ),
  );
  expect(await site.talk(lastGet)).toMatch(
    /^HTTP\/1\.1 102 Processing\r\nvia: 1\.1 nemuri\r\n\r\nHTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\nvia: 1\.1 nemuri\r\n\r\nHTTP\/1\.1 200/,
  );
  expect(await site.talk('GET / HTTP/1.0\r\nHost: a\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
});

test('an answer’s headers do not wait for its body', async () => {
  let end = () => {};
  await before(
    await site.origin((_request, response) => {
      end = () => response.end('late');
      response.flushHeaders();
    }),
  );
  const answer = await fetch(`http://127.0.0.1:${site.port}/`);
  end();
  expect(await answer.text()).toBe('late');
});

test('a body goes on as it comes: the server may answer before its end', async () => {
  await before(await site.origin((request, response) => request.pipe(response)));
  const outgoing = httpRequest({ port: site.port, host: '127.0.0.1', method: 'POST' });
  outgoing.write('first');
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const parts: AsyncIterator<Buffer> = answer[Symbol.asyncIterator]();
  expect(String((await parts.next()).value)).toBe('first');
  outgoing.end('second');
  expect(String((await parts.next()).value)).toBe('second');
});

test('a body that streams is sent again when a server fails before it answers', async () => {
  let tries = 0;
  await before(
    await site.origin((request, response) => {
      tries += 1;
      if (tries === 1) request.once('data', () => request.socket.destroy());
      else request.pipe(response);
    }),
  );
  const outgoing = httpRequest({ port: site.port, host: '127.0.0.1', method: 'PUT' });
  outgoing.write('first ');
  while (tries < 2) await new Promise((resolve) => setImmediate(resolve));
  outgoing.end('second');
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of answer) text += chunk;
  expect(text).toBe('first second');
});

test('trailers go on in both directions', async () => {
  let trailers: IncomingMessage['trailers'] = {};
  await before(
    await site.origin((request, response) => {
      request.resume();
      request.once('end', () => {
        trailers = request.trailers;
        response.setHeader('trailer', 'x-sum');
        response.write('body');
        response.addTrailers({ 'x-sum': '42' });
        response.end();
      });
    }),
  );
  const chunks =
    'Transfer-Encoding: chunked\r\nTrailer: X-In\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-In: 1\r\n\r\n';
  const answer = await site.talk(`POST / HTTP/1.1\r\nHost: a\r\n${chunks}`);
  expect(answer).toMatch(/0\r\nx-sum: 42\r\n\r\n$/i);
  expect(trailers).toEqual({ 'x-in': '1' });
});

test('a client of HTTP/1.0 gets no chunks', async () => {
  await before(
    await site.origin((_request, response) => {
      response.write('a');
      response.end('b');
    }),
  );
  const answer = await site.talk('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  expect(answer.toLowerCase()).not.toContain('transfer-encoding');
  expect(answer.endsWith('\r\n\r\nab')).toBe(true);
});

test('an event stream is not held back, and counts as in flight', async () => {
  await before(
    await site.origin((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: first\n\n');
    }),
  );
  let counted = false;
  await site.talk('GET / HTTP/1.1\r\nHost: a\r\n\r\n', (answer) => answer.includes('data: first'));
  const stream = fetch(`http://127.0.0.1:${site.port}/`);
  await site.harness.nextEvent('TELEMETRY', (event): event is typeof event => {
    counted ||= event.type === 'LoadSampled' && event.data.inFlight === 1;
    return counted;
  });
  await (await stream).body?.cancel();
});

async function startTls(port: number, ...names: string[]): Promise<TlsSettings> {
  const made = await Promise.all(names.map(certificates.make));
  const tls = { host: '127.0.0.1', port: await freePort('127.0.0.1'), certificates: made };
  await site.start(configOf([port]), { tls });
  await site.ready('s1');
  return tls;
}

function peerOf(
  port: number,
  servername: string,
): Promise<{ name: string; serial: string; protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      const { subject, serialNumber } = socket.getPeerCertificate();
      resolve({ name: String(subject.CN), serial: serialNumber, protocol: socket.getProtocol() });
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

test('HTTP/2 to the client: fields, body, repeated fields and trailers', async () => {
  const origin = await site.origin((request, response) => {
    response.setHeader('x-host', request.headers.host ?? '');
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.setHeader('x-proto', request.headers['x-forwarded-proto'] ?? '');
    request.pipe(response);
  });
  const { port } = await startTls(origin, 'a.example');
  session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  const stream = session.request({ ':method': 'POST', ':path': '/echo', ':authority': 'a.example' });
  stream.end('x'.repeat(200_000));
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve));
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  expect(headers).toMatchObject({ ':status': 200, 'x-host': 'a.example', 'x-proto': 'https' });
  expect(headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(bytes).toBe(200_000);
});

test('TLS 1.3, and a certificate for each name', async () => {
  const { port } = await startTls(
    await site.origin((_request, response) => response.end()),
    'a.example',
    'b.example',
  );
  expect(await peerOf(port, 'a.example')).toMatchObject({ name: 'a.example', protocol: 'TLSv1.3' });
  expect(await peerOf(port, 'b.example')).toMatchObject({ name: 'b.example' });
  expect(await peerOf(port, 'c.example')).toMatchObject({ name: 'a.example' });
});

test('a new certificate is taken without a restart', async () => {
  const { port } = await startTls(await site.origin((_request, response) => response.end()), 'a.example');
  const before = await peerOf(port, 'a.example');
  await certificates.make('a.example');
  let after = before;
  while (after.serial === before.serial) {
    after = await peerOf(port, 'a.example');
  }
  expect(after.name).toBe('a.example');
});

test('a connection outlives what is announced of it: the last request within meets no close', async () => {
  await site.start(
    configOf([await site.origin((_request, response) => response.end('ok'))], {}, { keepAliveTimeoutMs: 1 }),
  );
  await site.ready('s1');
  const socket = connect(site.port, '127.0.0.1').setEncoding('utf8');
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  socket.write(get);
  const [head] = await once(socket, 'data');
  const announcedMs = Number(/keep-alive: timeout=(\d+)/i.exec(head)?.[1]) * 1_000;
  expect(announcedMs).toBe(1_000);
  const answeredMs = performance.now();
  await once(socket, 'end');
  expect(performance.now() - answeredMs).toBeGreaterThan(announcedMs + 400);
});

test('an idle connection of HTTP/2 is closed in order, a quiet stream keeps it', async () => {
  let end = () => {};
  const origin = await site.origin((_request, response) => {
    end = () => response.end('late');
    response.flushHeaders();
  });
  const tls = {
    host: '127.0.0.1',
    port: await freePort('127.0.0.1'),
    certificates: [await certificates.make('a')],
  };
  await site.start(configOf([origin], {}, { keepAliveTimeoutMs: 1 }), { tls });
  await site.ready('s1');
  const open = connectHttp2(`https://127.0.0.1:${tls.port}`, { rejectUnauthorized: false });
  session = open;
  const stream = open.request({ ':path': '/', ':authority': 'a' });
  await once(stream, 'response');
  const quietUntilMs = Date.now() + 200;
  while (Date.now() < quietUntilMs) await new Promise((resolve) => setImmediate(resolve));
  end();
  const goaway = once(open, 'goaway');
  expect(String(await once(stream, 'data'))).toBe('late');
  const [code] = await goaway;
  expect(code).toBe(0);
});

test('a TLS client that dribbles its headers gets 408', async () => {
  const tls = {
    host: '127.0.0.1',
    port: await freePort('127.0.0.1'),
    certificates: [await certificates.make('a')],
  };
  await site.start(configOf([1], {}, { headerTimeoutMs: 100 }), { tls });
  const socket = connectTls({ port: tls.port, host: '127.0.0.1', rejectUnauthorized: false });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n');
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

test.each(['http1', 'http2'] as const)(
  '%s to a server by TLS: its own CA is trusted, another is not',
  async (protocol) => {
    const own = await certificates.make('origin.example');
    const other = await certificates.make('other.example');
    const origin = createSecureServer(
      { allowHTTP1: true, cert: readFileSync(own.certificateFile), key: readFileSync(own.keyFile) },
      (request, response) => response.end(`by ${request.httpVersion}`),
    );
    origin.listen(0, '127.0.0.1');
    await once(origin, 'listening');
    try {
      const { port } = origin.address() as AddressInfo;
      const start = async (caFile: string) => {
        const forwarding = { protocol, tlsServerName: 'origin.example', caFile };
        const config = configOf([port], { forwarding, parking: { maxWaitMs: 500 } });
        const { s1 } = config.servers;
        if (s1) s1.url = `https://127.0.0.1:${port}`;
        await site.start(config);
        await site.ready('s1');
        return site.talk(lastGet);
      };
      expect(await start(own.certificateFile)).toMatch(
        protocol === 'http1' ? /by 1\.1$/ : /by 2\.0\r\n0\r\n\r\n$/,
      );
      await site.stopProxy();
      expect(await start(other.certificateFile)).toMatch(/^HTTP\/1\.1 503 /);
    } finally {
      origin.close();
    }
  },
);
