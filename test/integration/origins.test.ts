import { createHash } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { describeWith } from '../../services/power/drivers/testing/peers.ts';
import { type NginxOrigin, startNginxOrigin } from '../../services/proxy/testing/nginxOrigin.ts';
import { configOf, createSite, type Site } from '../../services/proxy/testing/site.ts';

/** RFC 9110 and 9112 through the proxy, the same for a server that is Node's and one that is not. */
let site: Site;

beforeEach(() => {
  site = createSite();
});

afterEach(() => site.close());

const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >> 8)) % 251));
const sumOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const at = (path: string) => `http://127.0.0.1:${site.port}${path}`;
const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer());

/** As much of a file server as the suite asks for. */
function nodeFiles(): RequestListener {
  const files = new Map<string, Buffer>();
  return (request, response) => {
    const { headers, method, url = '/' } = request;
    const seen = ['host', 'x-forwarded-for', 'x-forwarded-proto', 'via', 'connection', 'te', 'x-named'];
    const shown = seen.map((name) => (name === 'connection' ? '' : (headers[name] ?? ''))).join('|');
    response.setHeader('x-seen', shown);
    if (method === 'PUT') {
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        files.set(url, Buffer.concat(chunks));
        response.writeHead(201).end();
      });
      return;
    }
    const file = files.get(url.replace('/packed', ''));
    if (!file) return void response.writeHead(404).end('none');
    if (method === 'DELETE') {
      files.delete(url);
      response.writeHead(204).end();
      return;
    }
    const etag = `"${sumOf(file)}"`;
    response.setHeader('etag', etag);
    if (headers['if-none-match'] === etag) return void response.writeHead(304).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    if (from !== undefined && to !== undefined) {
      response.setHeader('content-range', `bytes ${from}-${to}/${file.length}`);
      response.writeHead(206).end(file.subarray(Number(from), Number(to) + 1));
      return;
    }
    if (url.startsWith('/packed')) {
      response.write(file.subarray(0, 7));
      response.end(file.subarray(7));
      return;
    }
    response.setHeader('content-length', file.length);
    response.end(method === 'HEAD' ? undefined : file);
  };
}

function suite(startOrigin: () => Promise<number>): void {
  beforeEach(async () => {
    await site.start(configOf([await startOrigin()]));
    await site.ready('s1');
  });

  test('a file put by length, and in chunks, comes back byte for byte', async () => {
    const stream = new ReadableStream({
      start(controller) {
        for (let from = 0; from < body.length; from += 10_000)
          controller.enqueue(body.subarray(from, from + 10_000));
        controller.close();
      },
    });
    expect((await fetch(at('/a.txt'), { method: 'PUT', body })).status).toBe(201);
    const chunked = { method: 'PUT', body: stream, duplex: 'half' } as RequestInit;
    expect((await fetch(at('/b.txt'), chunked)).status).toBeLessThan(300);
    for (const path of ['/a.txt', '/b.txt'])
      expect(sumOf(await bytesOf(await fetch(at(path))))).toBe(sumOf(body));
  });

  test('an answer in chunks is whole', async () => {
    await fetch(at('/c.txt'), { method: 'PUT', body });
    const answer = await site.talk(
      'GET /packed/c.txt HTTP/1.0\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n',
    );
    expect(sumOf(Buffer.from(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1'))).toBe(sumOf(body));
    const packed = await fetch(at('/packed/c.txt'), { headers: { 'accept-encoding': 'gzip' } });
    expect(sumOf(await bytesOf(packed))).toBe(sumOf(body));
  });

  test('HEAD has the length and no body; the connection goes on', async () => {
    await fetch(at('/d.txt'), { method: 'PUT', body: 'hello' });
    const head = 'HEAD /d.txt HTTP/1.1\r\nHost: a\r\n\r\n';
    const answer = await site.talk(`${head}GET /d.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    expect(answer.match(/content-length: 5\r\n/gi)).toHaveLength(2);
    expect(answer.split('hello')).toHaveLength(2);
    expect(answer.endsWith('\r\n\r\nhello')).toBe(true);
  });

  test('a range is 206, a condition that holds 304, a file that is gone 404', async () => {
    await fetch(at('/e.txt'), { method: 'PUT', body });
    const part = await fetch(at('/e.txt'), { headers: { range: 'bytes=1000-1999' } });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 1000-1999/${body.length}`);
    expect(sumOf(await bytesOf(part))).toBe(sumOf(body.subarray(1_000, 2_000)));
    const etag = (await fetch(at('/e.txt'))).headers.get('etag') ?? '';
    const same = await fetch(at('/e.txt'), { headers: { 'if-none-match': etag } });
    expect([same.status, (await bytesOf(same)).length]).toEqual([304, 0]);
    expect((await fetch(at('/e.txt'), { method: 'DELETE' })).status).toBe(204);
    expect((await fetch(at('/e.txt'))).status).toBe(404);
  });

  test('hop-by-hop fields stay here, the chain of proxies is told', async () => {
    await fetch(at('/f.txt'), { method: 'PUT', body: 'x' });
    const answer = await site.talk(
      'GET /f.txt HTTP/1.1\r\nHost: a.example\r\nTE: gzip\r\nX-Named: 1\r\nConnection: close, X-Named, TE\r\n\r\n',
    );
    expect(answer).toContain('a.example|127.0.0.1|http|1.1 nemuri|||');
    expect(answer).toMatch(/\r\nvia: 1\.1 nemuri\r\n/i);
  });

  test('Expect: 100-continue, a body of no bytes, and many requests on one connection', async () => {
    const expecting = await site.talk(
      'PUT /g.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nabc',
    );
    expect(expecting).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 /);
    const empty = 'PUT /h.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n';
    const get = (path: string, extra = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`;
    const many = await site.talk(
      `${empty}${get('/g.txt').repeat(20)}${get('/h.txt', 'Connection: close\r\n')}`,
    );
    expect(many.split('\r\n\r\nabc')).toHaveLength(21);
  });
}

describe('before Node', () => {
  suite(() => site.origin(nodeFiles()));
});

describeWith({ nginx: 'nginx-light' }, 'before nginx', () => {
  let nginx: NginxOrigin;

  beforeAll(async () => {
    nginx = await startNginxOrigin();
  });

  afterAll(() => nginx.stop());

  suite(async () => nginx.filesPort);
});
