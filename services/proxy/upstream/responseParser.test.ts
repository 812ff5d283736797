import { createResponseParser } from './responseParser.ts';

interface Read {
  informational: number[];
  status?: number;
  reason?: string;
  headers?: string[];
  reusable?: boolean;
  body: string;
  trailers?: readonly string[];
}

const bounds = { maxHeaderBytes: 512, maxHeaders: 8 };

/** Reads one answer that comes in these parts; `eof`: the server closes after them. */
function read(parts: readonly string[], { method = 'GET', eof = false } = {}): Read {
  const seen: Read = { informational: [], body: '' };
  const parser = createResponseParser(bounds);
  parser.begin(method, {
    onInformational: ({ status }) => seen.informational.push(status),
    onHead: ({ status, reason, headers, reusable }) =>
      Object.assign(seen, { status, reason, headers, reusable }),
    onData: (chunk) => {
      seen.body += chunk.toString('latin1');
    },
    onEnd: (trailers) => {
      seen.trailers = trailers;
    },
  });
  for (const part of parts) parser.push(Buffer.from(part, 'latin1'));
  if (eof) parser.end();
  return seen;
}

const ok = 'HTTP/1.1 200 OK\r\n';
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;

type Options = { method?: string; eof?: boolean };
type Case = [string, string, Partial<Read>, Options];

const whole = (
  [
    ['by length', `${ok}Content-Length: 5\r\n\r\nhello`, { body: 'hello', reusable: true }],
    ['an empty body', `${ok}Content-Length: 0\r\n\r\n`, { body: '', reusable: true }],
    [
      'a reason of several words',
      'HTTP/1.1 404 Not  Found\r\nContent-Length: 0\r\n\r\n',
      { reason: 'Not  Found' },
    ],
    ['no reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { reason: '', status: 200 }],
    [
      'chunks',
      `${chunked}3\r\nabc\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\n`,
      { body: 'abc0123456789', reusable: true },
    ],
    ['trailers', `${chunked}1\r\na\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n`, { trailers: ['X-Sum', '7', 'Y', ''] }],
    ['until close', `${ok}\r\nall of it`, { body: 'all of it', reusable: false }, { eof: true }],
    ['HEAD', `${ok}Content-Length: 5\r\n\r\n`, { body: '', reusable: true }, { method: 'HEAD' }],
    ['HEAD of chunks', chunked, { body: '', reusable: true }, { method: 'HEAD' }],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204, reusable: true }],
    [
      '204 with a length',
      'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n',
      { body: '', reusable: false },
    ],
    [
      '304 with a length',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n',
      { body: '', reusable: true },
    ],
    ['close', `${ok}Connection: foo, Close\r\nContent-Length: 1\r\n\r\na`, { reusable: false }],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na', { reusable: false }],
    [
      'early hints first',
      `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}Content-Length: 1\r\n\r\na`,
      { informational: [103], status: 200, body: 'a' },
    ],
    [
      'white space around values',
      `${ok}X: \t a b \t\r\nContent-Length: 0\r\n\r\n`,
      { headers: ['X', 'a b', 'Content-Length', '0'] },
    ],
  ] as [string, string, Partial<Read>, Options?][]
).map(([what, text, expected, options]): Case => [what, text, expected, options ?? {}]);

test.each(whole)('reads %s', (_what, text, expected, options) => {
  expect(read([text], options)).toMatchObject(expected);
});

test.each(whole)('reads %s the same however it is cut', (_what, text, expected, options) => {
  expect(read([...text], options)).toMatchObject(expected);
  for (let at = 1; at < text.length; at += 1) {
    expect(read([text.slice(0, at), text.slice(at)], options)).toMatchObject(expected);
  }
});

const malformed: [string, string][] = [
  ['another protocol', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['bare LF after the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['bare LF only', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['bare CR in a value', `${ok}X: a\rb\r\n\r\n`],
  ['NUL in a value', `${ok}X: a\0b\r\n\r\n`],
  ['obs-fold', `${ok}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
  ['space before the colon', `${ok}Content-Length : 0\r\n\r\n`],
  ['an empty name', `${ok}: a\r\n\r\n`],
  ['a line without a colon', `${ok}hello\r\n\r\n`],
  ['two lengths', `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\na`],
  ['the same length twice', `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`],
  ['a list of lengths', `${ok}Content-Length: 1, 1\r\n\r\na`],
  ['a signed length', `${ok}Content-Length: +1\r\n\r\na`],
  ['a hexadecimal length', `${ok}Content-Length: 0x1\r\n\r\na`],
  ['an empty length', `${ok}Content-Length:\r\n\r\n`],
  ['length and chunks', `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another coding', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['an obfuscated coding', `${ok}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a chunk size that is none', `${chunked}G\r\n`],
  ['a chunk size with 0x', `${chunked}0x1\r\na\r\n0\r\n\r\n`],
  ['a negative chunk size', `${chunked}-1\r\n`],
  ['a chunk size beyond 2^48', `${chunked}FFFFFFFFFFFFF\r\n`],
  ['bare LF after a chunk size', `${chunked}1\na\r\n0\r\n\r\n`],
  ['a chunk longer than it says', `${chunked}1\r\nab\r\n0\r\n\r\n`],
  ['a malformed trailer', `${chunked}0\r\nhello\r\n\r\n`],
  ['an endless head', `${ok}X: ${'a'.repeat(600)}`],
  ['too many fields', `${ok}${'X: a\r\n'.repeat(9)}\r\n`],
  ['an endless chunk extension', `${chunked}1;${'a'.repeat(2_000)}`],
  ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['1xx without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)],
  ['bytes after the answer', `${ok}Content-Length: 1\r\n\r\nabc`],
  ['a second answer', `${ok}Content-Length: 0\r\n\r\n${ok}Content-Length: 0\r\n\r\n`],
];

test.each(malformed)('refuses %s', (_what, text) => {
  expect(() => read([text])).toThrow(/not HTTP\/1\.1/);
  expect(() => read([...text])).toThrow(/not HTTP\/1\.1/);
});

test.each(whole.filter(([, , , options]) => !options.eof))(
  '%s: cut short by the end is no answer',
  (_what, text, _expected, options) => {
    for (let at = 0; at < text.length; at += 1) {
      expect(() => read([text.slice(0, at)], { ...options, eof: true })).toThrow(/closed before/);
    }
  },
);
