import { readHeaders, requestHead, responseHeaders } from './headers.ts';

type Pairs = [string, string][];
interface Options {
  framing?: string;
  traceparent?: string;
  address?: string;
  forwardedHeader?: boolean;
}
const proxyAddress = '192.0.2.99';

/** The header section as the server gets it: each line, the request line first. */
function forwarded(
  pairs: Pairs,
  { framing = '', traceparent, address = '192.0.2.7', forwardedHeader = false }: Options = {},
): string[] {
  const headers = readHeaders(pairs.flat());
  const client = {
    address,
    encrypted: false,
    rules: { trusts: (from: string) => from === proxyAddress, forwardedHeader },
  };
  const head = requestHead({ method: 'GET', url: '/x' }, headers, client, framing, traceparent);
  expect(head.endsWith('\r\n\r\n')).toBe(true);
  return head.slice(0, -4).split('\r\n');
}

test('end-to-end headers go on as they came, host kept', () => {
  const lines = forwarded([
    ['Host', 'a.example'],
    ['X-Custom', 'Ü'],
    ['Cookie', 'a=1'],
  ]);
  expect(lines).toEqual([
    'GET /x HTTP/1.1',
    'Host: a.example',
    'X-Custom: Ü',
    'Cookie: a=1',
    'x-forwarded-for: 192.0.2.7',
    'x-forwarded-proto: http',
    'x-forwarded-host: a.example',
    'via: 1.1 nemuri',
  ]);
});

test('hop-by-hop headers, and those that Connection names, stay here; Host can not be named away', () => {
  const lines = forwarded([
    ['Host', 'a'],
    ['Connection', 'keep-alive, X-Secret, host'],
    ['X-Secret', '1'],
    ['TE', 'trailers'],
    ['Upgrade', 'h2c'],
    ['HTTP2-Settings', 'AAMAAABkAARAAAAAAAIAAAAA'],
    ['Expect', '100-continue'],
    ['Connection', 'X-Other'],
    ['X-Other', '2'],
    ['Accept', '*/*'],
  ]);
  const names = lines.slice(1).map((line) => line.slice(0, line.indexOf(':')));
  expect(names).toEqual([
    'Host',
    'Accept',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'via',
  ]);
});

test('a chain of trusted proxies is extended; what anyone else says of itself is replaced', () => {
  const said: Pairs = [
    ['Host', 'a'],
    ['X-Forwarded-For', '198.51.100.1'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', 'b'],
    ['Forwarded', 'for=198.51.100.1'],
    ['Via', '1.1 edge'],
    ['via', '1.1 second'],
  ];
  const lines = forwarded(said, { address: proxyAddress, forwardedHeader: true });
  expect(lines).toContain(`x-forwarded-for: 198.51.100.1, ${proxyAddress}`);
  expect(lines).toContain('x-forwarded-proto: https');
  expect(lines).toContain('x-forwarded-host: b');
  expect(lines).toContain(`forwarded: for=198.51.100.1, for=${proxyAddress};host="a";proto=http`);
  const replaced = forwarded(said, { address: '2001:db8::1', forwardedHeader: true });
  expect(replaced).toContain('x-forwarded-for: 2001:db8::1');
  expect(replaced).toContain('x-forwarded-proto: http');
  expect(replaced).toContain('x-forwarded-host: a');
  expect(replaced).toContain('forwarded: for="[2001:db8::1]";host="a";proto=http');
  expect(lines).toContain('via: 1.1 edge, 1.1 second, 1.1 nemuri');
});

test('our trace context takes the place of the client’s', () => {
  const lines = forwarded([['Traceparent', 'theirs']], { traceparent: 'ours' });
  expect(lines.filter((line) => /^traceparent/i.test(line))).toEqual(['traceparent: ours']);
  expect(forwarded([['Traceparent', 'theirs']])).toContain('traceparent: theirs');
});

test('the length of the body is said by us alone', () => {
  const lines = forwarded([['Content-Length', '5']], { framing: 'content-length: 7\r\n' });
  expect(lines.filter((line) => /^content-length/i.test(line))).toEqual(['content-length: 7']);
});

test('repeated response headers stay repeated; the connection is our own', () => {
  const flat = responseHeaders(
    [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['X-Hop', '1'],
      ['Connection', 'close, X-Hop'],
      ['Transfer-Encoding', 'chunked'],
    ].flat(),
    true,
  );
  expect(flat).toEqual(
    [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['via', '1.1 nemuri'],
      ['connection', 'close'],
    ].flat(),
  );
});

test.each<[Pairs, number | undefined, boolean]>([
  [[], undefined, false],
  [[['Content-Length', '0']], 0, false],
  [[['Content-Length', '5']], 5, false],
  [[['Transfer-Encoding', 'chunked']], undefined, true],
])('%j announces %p bytes, chunked: %p', (pairs, contentLength, chunked) => {
  expect(readHeaders(pairs.flat())).toMatchObject({ contentLength, chunked });
});

test.each<[Pairs, boolean]>([
  [[['Host', 'a']], false],
  [
    [
      ['Host', 'a'],
      ['host', 'b'],
    ],
    true,
  ],
])('%j is ambiguous: %p', (pairs, ambiguous) => {
  expect(readHeaders(pairs.flat()).ambiguous).toBe(ambiguous);
});
