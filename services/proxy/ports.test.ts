import { once } from 'node:events';
import { readFileSync, renameSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { freePort } from '../../libs/runtime/freePort.ts';
import { createCertificates } from './testing/certificate.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

let site: Site;
let folder: string;
const certificates = createCertificates();

beforeEach(async () => {
  site = createSite();
  folder = await mkdtemp(join(tmpdir(), 'nemuri-log-'));
});

afterEach(async () => {
  await site.close();
  await certificates.remove();
  await rm(folder, { recursive: true });
});

const lastGet = 'GET /a?token=1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n';
const header = 'PROXY TCP4 203.0.113.9 198.51.100.2 12345 80\r\n';

/** Answers with what it was told of its client. */
async function start(proxy: object, tls = false): Promise<number> {
  const origin = await site.origin((request, response) => {
    response.end(`${request.headers['x-forwarded-for']} ${request.headers['x-forwarded-proto']}`);
  });
  const port = await freePort('127.0.0.1');
  const settings = { host: '127.0.0.1', port, certificates: [await certificates.make('a.example')] };
  await site.start(configOf([origin], {}, proxy), tls ? { tls: settings } : {});
  await site.ready('s1');
  return port;
}

test('a PROXY header in front of plain HTTP says who the client is, also when it comes in pieces', async () => {
  await start({ trustedProxies: ['127.0.0.1'], proxyProtocol: { http: true, https: false } });
  expect(await site.talk(header + lastGet)).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\n203\.0\.113\.9 http$/s);
  const socket = connect({ port: site.port, host: '127.0.0.1', noDelay: true });
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  for (const byte of header + lastGet) {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, 'close');
  expect(answer).toMatch(/203\.0\.113\.9 http$/);
});

test('two requests on one proxied connection both come from that client', async () => {
  await start({ trustedProxies: ['127.0.0.1'], proxyProtocol: { http: true, https: false } });
  const answer = await site.talk(`${header}GET / HTTP/1.1\r\nHost: a\r\n\r\n${lastGet}`);
  expect(answer.match(/203\.0\.113\.9 http/g)).toHaveLength(2);
});

test('a PROXY header in front of TLS', async () => {
  const port = await start(
    { trustedProxies: ['127.0.0.0/8'], proxyProtocol: { http: false, https: true } },
    true,
  );
  const raw = connect(port, '127.0.0.1');
  raw.write(header);
  const secure = connectTls({ socket: raw, rejectUnauthorized: false, servername: 'a.example' });
  secure.write(lastGet);
  let answer = '';
  for await (const chunk of secure) answer += chunk;
  expect(answer).toMatch(/203\.0\.113\.9 https$/);
});

test.each([
  ['an untrusted address', ['10.0.0.0/8'], header + lastGet],
  ['no header', ['127.0.0.1'], lastGet],
  ['a header that stops', ['127.0.0.1'], 'PROXY TCP4 203.'],
])('is closed without an answer: %s', async (_what, trustedProxies, bytes) => {
  await start({ trustedProxies, headerTimeoutMs: 100, proxyProtocol: { http: true, https: false } });
  expect(await site.talk(bytes)).toBe('');
});

test('a PROXY header where none belongs is a malformed request', async () => {
  await start({ trustedProxies: ['127.0.0.1'] });
  expect(await site.talk(header + lastGet)).toMatch(/^HTTP\/1\.1 400 /);
});

test('plain HTTP is redirected to HTTPS, but not the proof for a certificate, nor what came by TLS before', async () => {
  const port = await start({ redirectToHttps: true, httpsPort: 8443, trustedProxies: ['127.0.0.1'] }, true);
  const answer = await site.talk(lastGet);
  expect(answer).toMatch(/^HTTP\/1\.1 308 /);
  expect(answer.toLowerCase()).toContain('location: https://a.example:8443/a?token=1\r\n');
  const proof = await site.talk(lastGet.replace('/a?token=1', '/.well-known/acme-challenge/x'));
  expect(proof).toMatch(/^HTTP\/1\.1 200 /);
  expect(await site.talk(lastGet.replace('Host:', 'X-Forwarded-Proto: https\r\nHost:'))).toMatch(
    /^HTTP\/1\.1 200 /,
  );
  const secure = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'a.example' });
  secure.write(lastGet);
  let direct = '';
  for await (const chunk of secure) direct += chunk;
  expect(direct).toMatch(/^HTTP\/1\.1 200 /);
});

/** Waits until the log has as many lines. */
async function linesOf(file: string, count: number): Promise<string[]> {
  for (;;) {
    const lines = readIfThere(file).split('\n').slice(0, -1);
    if (lines.length >= count) return lines;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

test('access log in JSON: who, what, where, how long; refused requests too; no query unless asked for', async () => {
  const file = join(folder, 'access.log');
  await start({ accessLog: { format: 'json', file, query: false } });
  await site.talk(lastGet);
  await site.talk('GET /../x HTTP/1.1\r\nHost: a\r\n\r\n');
  const [served, refused] = (await linesOf(file, 2)).map((line) => JSON.parse(line));
  expect(served).toMatchObject({
    client: '127.0.0.1',
    method: 'GET',
    target: '/a',
    host: 'a.example',
    status: 200,
    bytes: 14,
    pool: 'web',
    server: 's1',
    attempts: 1,
  });
  expect(served.durationMs).toBeGreaterThan(0);
  expect(Math.abs(Date.parse(served.time) - Date.now())).toBeLessThan(60_000);
  expect(refused).toMatchObject({ status: 400, target: '/../x' });
});

test('access log in combined form: nothing that a client says ends a field; a moved file is opened anew', async () => {
  const file = join(folder, 'access.log');
  await start({ accessLog: { format: 'combined', file, query: true } });
  await site.talk(lastGet.replace('Host:', 'Referer: https://b/"\\\r\nUser-Agent: x"\xff\ty\r\nHost:'));
  const [line = ''] = await linesOf(file, 1);
  expect(line).toMatch(
    /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/a\?token=1 HTTP\/1\.1" 200 14 /,
  );
  expect(line.endsWith('"https://b/\\"\\\\" "x\\"\\xff\\x09y"')).toBe(true);
  renameSync(file, `${file}.1`);
  let lines: string[] = [];
  while (lines.length === 0) {
    await site.talk(lastGet);
    lines = readIfThere(file).split('\n').slice(0, -1);
  }
  expect(lines[0]).toContain('"GET /a?token=1 HTTP/1.1" 200');
});
