import type { IncomingMessage } from 'node:http';
import { hasBody, requestHeaders, responseHeaders } from './headers.ts';

function request(pairs: [string, string][]): IncomingMessage {
  const headers = Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
  return {
    rawHeaders: pairs.flat(),
    headers,
    socket: { remoteAddress: '192.0.2.7' },
  } as unknown as IncomingMessage;
}

function asObject(flat: string[]): Record<string, string> {
  return Object.fromEntries(
    flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : [])),
  );
}

test('end-to-end headers go on as they came, host kept', () => {
  const headers = asObject(
    requestHeaders(
      request([
        ['Host', 'a.example'],
        ['X-Custom', 'Ü'],
        ['Cookie', 'a=1'],
      ]),
      undefined,
    ),
  );
  expect(headers).toMatchObject({ Host: 'a.example', 'X-Custom': 'Ü', Cookie: 'a=1', via: '1.1 nemuri' });
  expect(headers).toMatchObject({
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'a.example',
  });
});

test('hop-by-hop headers, and those that Connection names, stay here', () => {
  const headers = asObject(
    requestHeaders(
      request([
        ['Connection', 'keep-alive, X-Secret'],
        ['X-Secret', '1'],
        ['TE', 'trailers'],
        ['Upgrade', 'h2c'],
        ['Expect', '100-continue'],
      ]),
      undefined,
    ),
  );
  expect(Object.keys(headers).map((name) => name.toLowerCase())).toEqual([
    'x-forwarded-for',
    'x-forwarded-proto',
    'via',
  ]);
});

test('a chain of proxies is extended, never replaced', () => {
  const headers = asObject(
    requestHeaders(
      request([
        ['X-Forwarded-For', '198.51.100.1'],
        ['Via', '1.1 edge'],
      ]),
      undefined,
    ),
  );
  expect(headers).toMatchObject({
    'x-forwarded-for': '198.51.100.1, 192.0.2.7',
    via: '1.1 edge, 1.1 nemuri',
  });
});

test('our trace context takes the place of the client’s', () => {
  const headers = asObject(requestHeaders(request([['Traceparent', 'theirs']]), 'ours'));
  expect(headers).toMatchObject({ traceparent: 'ours' });
  expect(headers.Traceparent).toBeUndefined();
});

test('repeated response headers stay repeated; the connection is our own', () => {
  const raw = [
    'Set-Cookie',
    'a=1',
    'Set-Cookie',
    'b=2',
    'Connection',
    'close, X-Hop',
    'X-Hop',
    '1',
    'Transfer-Encoding',
    'chunked',
  ];
  const flat = responseHeaders(
    raw.map((part) => Buffer.from(part)),
    true,
  );
  expect(flat).toEqual([
    'Set-Cookie',
    'a=1',
    'Set-Cookie',
    'b=2',
    'via',
    '1.1 nemuri',
    'connection',
    'close',
  ]);
});

test.each<[[string, string][], boolean]>([
  [[], false],
  [[['Content-Length', '0']], false],
  [[['Content-Length', '5']], true],
  [[['Transfer-Encoding', 'chunked']], true],
])('%j announces a body: %s', (pairs, expected) => {
  expect(hasBody(request(pairs))).toBe(expected);
});
