import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import { freePort } from '../../libs/runtime/freePort.ts';
import { describeWith } from '../power/drivers/testing/peers.ts';
import { createCertificates } from './testing/certificate.ts';
import { type NginxOrigin, startNginxOrigin } from './testing/nginxOrigin.ts';
import { configOf, createSite, type Site } from './testing/site.ts';

/**
 * What RFC 9112 forbids, and the public catalogues of request smuggling (CL.TE, TE.CL, TE.TE, …), through the proxy
 * against origins that parse differently: Node's, nginx, and one that splits at each empty line whatever the lengths
 * say.
 */
let site: Site;
let seen: string[];

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const chunkedSmuggle = `0\r\n\r\n${smuggled}`;

async function startNodeOrigin(): Promise<number> {
  return site.origin((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume();
    request.once('end', () => response.end('ok'));
  });
}

async function startNaiveOrigin(): Promise<number> {
  return site.rawOrigin((socket) => {
    let bytes = '';
    socket.on('data', (chunk) => {
      bytes += chunk.toString('latin1');
      for (let end = bytes.indexOf('\r\n\r\n'); end >= 0; end = bytes.indexOf('\r\n\r\n')) {
        seen.push(bytes.slice(0, bytes.indexOf(' HTTP/')));
        bytes = bytes.slice(end + 4);
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }
    });
  });
}

const origins = [
  ['node', startNodeOrigin],
  ['naive', startNaiveOrigin],
] as const;

beforeEach(() => {
  site = createSite();
  seen = [];
});

afterEach(() => site.close());

const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
const abuses: [string, string][] = [
  ['CL.TE', `${post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n${chunkedSmuggle}`],
  ['TE.CL', `${post}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n`],
  ['TE.TE, obfuscated', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n${chunkedSmuggle}`],
  ['TE with a vertical tab', `${post}Transfer-Encoding: \x0bchunked\r\n\r\n${chunkedSmuggle}`],
  ['TE xchunked', `${post}Transfer-Encoding: xchunked\r\n\r\n${chunkedSmuggle}`],
  ['TE chunked, identity', `${post}Transfer-Encoding: chunked, identity\r\n\r\n${chunkedSmuggle}`],
  ['TE with space before the colon', `${post}Transfer-Encoding : chunked\r\n\r\n${chunkedSmuggle}`],
  ['TE behind a bare LF', `${post}X: a\nTransfer-Encoding: chunked\r\n\r\n${chunkedSmuggle}`],
  ['TE folded', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n${chunkedSmuggle}`],
  ['two lengths', `${post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`],
  ['the same length twice', `${post}Content-Length: 0\r\nContent-Length: 0\r\n\r\n${smuggled}`],
  ['a list of lengths', `${post}Content-Length: 0, 44\r\n\r\n${smuggled}`],
  ['a signed length', `${post}Content-Length: +44\r\n\r\n${smuggled}`],
  ['a negative length', `${post}Content-Length: -1\r\n\r\n${smuggled}`],
  ['a length with letters', `${post}Content-Length: 0x2c\r\n\r\n${smuggled}`],
  ['obs-fold', `${post}X: a\r\n b\r\n\r\n${smuggled}`],
  ['bare LF as line end', `POST / HTTP/1.1\nHost: a\n\n${smuggled}`],
  ['bare CR in a value', `${post}X: a\rContent-Length: 44\r\n\r\n${smuggled}`],
  ['NUL in a value', `${post}X: a\0b\r\n\r\n${smuggled}`],
  ['a chunk size that is none', `${post}Transfer-Encoding: chunked\r\n\r\nZ\r\n${smuggled}`],
  ['a chunk size with 0x', `${post}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n${chunkedSmuggle}`],
  ['a chunk longer than it says', `${post}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n${chunkedSmuggle}`],
  ['bare LF after a chunk size', `${post}Transfer-Encoding: chunked\r\n\r\n0\n\r\n${smuggled}`],
  [
    'TE in HTTP/1.0 with a length',
    `POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${chunkedSmuggle}`,
  ],
  ['no Host', `GET / HTTP/1.1\r\n\r\n${smuggled}`],
  ['two Hosts', `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${smuggled}`],
  ['a Host with a path', `GET / HTTP/1.1\r\nHost: a/b\r\n\r\n${smuggled}`],
  ['an absolute target', `GET http://elsewhere.example/ HTTP/1.1\r\nHost: a\r\n\r\n${smuggled}`],
  ['CONNECT', `CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example:443\r\n\r\n${smuggled}`],
  ['a target with a space', `GET /a b HTTP/1.1\r\nHost: a\r\n\r\n${smuggled}`],
  ['a dot-dot segment', `GET /public/../admin HTTP/1.1\r\nHost: a\r\n\r\n${smuggled}`],
  ['a hidden dot-dot segment', `GET /public/%2e%2E/admin HTTP/1.1\r\nHost: a\r\n\r\n${smuggled}`],
  [
    'a dot-dot segment behind a hidden slash',
    `GET /public%2f..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n${smuggled}`,
  ],
  ['HTTP/9.9', `GET / HTTP/9.9\r\nHost: a\r\n\r\n${smuggled}`],
  ['HTTP/0.9', `GET /\r\n${smuggled}`],
  ['a TLS hello', `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${smuggled}`],
  [
    'a header section without end',
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n${smuggled}`,
  ],
];

describe.each(origins)('before a %s origin', (_name, startOrigin) => {
  test.each(abuses)('refuses %s', async (_what, bytes) => {
    await site.start(configOf([await startOrigin()]));
    await site.ready('s1');
    const answer = await site.talk(bytes);
    expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
    // What is refused in the middle of its body may have begun on its way; what hides behind it never does.
    expect(seen.filter((line) => line.includes('smuggled') || line.includes('admin'))).toEqual([]);
    expect(answer.split('HTTP/1.1 ').length).toBeLessThanOrEqual(2);
  });

  test('pipelined requests get their answers in their order', async () => {
    await site.start(configOf([await startOrigin()]));
    await site.ready('s1');
    const get = (path: string, extra = '') => `GET /${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`;
    const answer = await site.talk(`${get('1')}${get('2')}${get('3', 'Connection: close\r\n')}`);
    expect(answer.match(/HTTP\/1\.1 200 /g)).toHaveLength(3);
    expect(seen).toEqual(['GET /1', 'GET /2', 'GET /3']);
  });
});

test('a body that looks like a request is a body', async () => {
  await site.start(configOf([await startNodeOrigin()]));
  await site.ready('s1');
  const answer = await site.talk(
    `${post}Content-Length: ${smuggled.length}\r\nConnection: close\r\n\r\n${smuggled}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(seen).toEqual(['POST /']);
});

describeWith({ nginx: 'nginx-light' }, 'before nginx', () => {
  let nginx: NginxOrigin;

  beforeAll(async () => {
    nginx = await startNginxOrigin();
  });

  afterAll(() => nginx.stop());

  /** What came there until now: a last request proves that the log is read far enough. */
  const seenByNginx = async (mark: string) => {
    await site.talk(`GET /${mark} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    for (;;) {
      const lines = await nginx.seen();
      if (lines.includes(`GET /${mark} HTTP/1.1`)) return lines;
    }
  };

  test.each(abuses)('refuses %s', async (what, bytes) => {
    await site.start(configOf([nginx.plainPort]));
    await site.ready('s1');
    const answer = await site.talk(bytes);
    expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
    const lines = await seenByNginx(encodeURIComponent(what).replace(/[^\w]/g, '-'));
    expect(lines.filter((line) => line.includes('smuggled') || line.includes('admin'))).toEqual([]);
  });

  test('a body that looks like a request is a body', async () => {
    await site.start(configOf([nginx.plainPort]));
    await site.ready('s1');
    const last = `Connection: close\r\n\r\n${smuggled}`;
    expect(await site.talk(`${post}Content-Length: ${smuggled.length}\r\n${last}`)).toMatch(
      /^HTTP\/1\.1 200 /,
    );
    expect((await seenByNginx('end')).filter((line) => line.includes('smuggled'))).toEqual([]);
  });
});

const desyncs: [string, string][] = [
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nhello'],
  [
    'length and chunks',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['obs-fold', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a header injected by bare CR', 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n'],
  ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
];

test.each(desyncs)('an answer with %s is a 502, its server is not believed', async (_what, bytes) => {
  const port = await site.rawOrigin((socket) => socket.on('data', () => socket.end(bytes, 'latin1')));
  await site.start(configOf([port]));
  await site.ready('s1');
  const answer = await site.talk(
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 502 /);
  expect(answer).not.toContain('Set-Cookie');
});

test('an answer that nobody asked for reaches nobody', async () => {
  const port = await site.rawOrigin((socket) =>
    socket.on('data', () =>
      socket.write(
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong',
      ),
    ),
  );
  await site.start(configOf([port]));
  await site.ready('s1');
  for (let round = 0; round < 5; round += 1) {
    const answer = await site.talk('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/\r\n\r\nok$/);
  }
});

describe('over HTTP/2', () => {
  const certificates = createCertificates();
  let session: ClientHttp2Session;

  beforeEach(async () => {
    const tls = {
      host: '127.0.0.1',
      port: await freePort('127.0.0.1'),
      certificates: [await certificates.make('a')],
    };
    await site.start(configOf([await startNaiveOrigin()], { forwarding: { idleTimeoutMs: 100 } }), { tls });
    await site.ready('s1');
    session = connectHttp2(`https://127.0.0.1:${tls.port}`, { rejectUnauthorized: false });
    session.on('error', () => undefined);
  });

  afterEach(async () => {
    session.destroy();
    await certificates.remove();
  });

  /** The status; 0: the stream or its connection was reset. */
  const ask = (fields: OutgoingHttpHeaders, body?: string): Promise<number> =>
    new Promise((resolve) => {
      const stream = session.request(
        { ':authority': 'a', ':path': '/', ...fields },
        { endStream: body === undefined },
      );
      stream.once('response', (answer) => resolve(Number(answer[':status'])));
      stream.on('error', () => resolve(0));
      stream.once('close', () => resolve(0));
      stream.resume();
      if (body !== undefined) stream.write(body);
    });

  const attempts: [string, OutgoingHttpHeaders][] = [
    ['a path with a request in it', { ':path': '/ HTTP/1.1\u0020Host: a' }],
    ['a path that is absolute', { ':path': 'http://elsewhere.example/' }],
    ['a dot-dot segment', { ':path': '/public/../admin' }],
    ['a method with a space', { ':method': 'GET /smuggled HTTP/1.1' }],
    ['a Host beside another authority', { host: 'b' }],
    ['an authority with a path', { ':authority': 'a/b' }],
    ['a long header section', { x: 'a'.repeat(20_000) }],
  ];

  test.each(attempts)('refuses %s', async (_what, fields) => {
    const status = await ask(fields);
    expect(status === 0 || (status >= 400 && status < 500)).toBe(true);
    expect(seen).toEqual([]);
  });

  test('a request that is as it should be passes', async () => {
    expect(await ask({ ':path': '/fine' })).toBe(200);
    expect(seen).toEqual(['GET /fine']);
  });

  test('a body that stops coming does not hold its place', async () => {
    expect(await ask({ ':method': 'POST', 'content-length': '10' }, 'abc')).toBe(0);
    expect(seen).toEqual([]);
  });
});

test('hosts that are not named are not served', async () => {
  await site.start(configOf([await startNodeOrigin()], {}, { allowedHosts: ['a.example', '*.b.example'] }));
  await site.ready('s1');
  const statusFor = async (host: string) =>
    (await site.talk(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).slice(9, 12);
  expect(await statusFor('A.example:8080')).toBe('200');
  expect(await statusFor('x.b.example')).toBe('200');
  expect(await statusFor('b.example')).toBe('421');
  expect(await statusFor('evil.example')).toBe('421');
});

test('a client that dribbles its headers gets 408', async () => {
  await site.start(configOf([await startNodeOrigin()], {}, { headerTimeoutMs: 100 }));
  expect(await site.talk('GET / HTTP/1.1\r\nHost: a\r\n')).toMatch(/^HTTP\/1\.1 408 /);
});
