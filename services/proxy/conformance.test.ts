import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { generate } from 'selfsigned';
import { freePort } from '../../libs/runtime/freePort.ts';
import { configOf, createSite, type Site } from './testing/site.ts';
import type { TlsSettings } from './tls.ts';

let site: Site;
let folder: string | undefined;
let session: ClientHttp2Session | undefined;

beforeEach(() => {
  site = createSite();
});

afterEach(async () => {
  session?.destroy();
  session = undefined;
  await site.close();
  if (folder) await rm(folder, { recursive: true });
  folder = undefined;
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

test('103 Early Hints goes on before the answer', async () => {
  await before(
    await site.origin((_request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      response.end('ok');
    }),
  );
  expect(await site.talk(lastGet)).toMatch(
    /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200/i,
  );
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

/** A certificate for this name in files, as an operator would have it. */
async function certificateFor(name: string): Promise<{ certificateFile: string; keyFile: string }> {
  folder ??= await mkdtemp(join(tmpdir(), 'nemuri-tls-'));
  const files = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  await writeCertificate(name, files);
  return files;
}

async function writeCertificate(
  name: string,
  files: { certificateFile: string; keyFile: string },
): Promise<void> {
  const extensions = [{ name: 'subjectAltName', altNames: [{ type: 2, value: name }] }] as never;
  const made = await generate([{ name: 'commonName', value: name }], { extensions } as never);
  writeFileSync(files.keyFile, made.private);
  writeFileSync(files.certificateFile, made.cert);
}

async function startTls(port: number, ...names: string[]): Promise<TlsSettings> {
  const certificates = await Promise.all(names.map(certificateFor));
  const tls = { host: '127.0.0.1', port: await freePort('127.0.0.1'), certificates };
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
  const { port, certificates } = await startTls(
    await site.origin((_request, response) => response.end()),
    'a.example',
  );
  const [files] = certificates;
  if (!files) throw new Error('no certificate');
  const before = await peerOf(port, 'a.example');
  await writeCertificate('a.example', files);
  let after = before;
  while (after.serial === before.serial) {
    after = await peerOf(port, 'a.example');
  }
  expect(after.name).toBe('a.example');
});
