import type { IncomingMessage } from 'node:http';

/** RFC 9110 7.6.1: these speak of one connection only and are never forwarded. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Added by the proxy itself; what the client says of them is extended or replaced. */
const ours = new Set([
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'via',
  'expect',
  'content-length',
  'traceparent',
  'http2-settings',
]);

/** The lengths of all those names: a name of another length needs no closer look. */
const specialLengths = new Set([...hopByHop, ...ours, 'host'].map((name) => name.length));

const viaName = '1.1 nemuri';

/** What the proxy has to know of a request's header section, read once. */
export interface RequestHeaders {
  /** End-to-end fields as they came, `Host` first among equals, each with its CRLF. */
  readonly lines: string;
  readonly host: string | undefined;
  /** More than one `Host`: two servers could choose two of them. */
  readonly ambiguous: boolean;
  /** By `Content-Length`; Node's parser has refused what is malformed or repeated. */
  readonly contentLength: number | undefined;
  readonly chunked: boolean;
  readonly traceparent: string | undefined;
  readonly forwardedFor: string | undefined;
  readonly via: string | undefined;
}

/** The header names that a `Connection` header declares as its own. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return names.some((name) => name !== 'close' && name !== 'keep-alive') ? new Set(names) : undefined;
}

/** Reads the header section; fields of HTTP/2 that begin with a colon are left out. */
export function readHeaders(rawHeaders: readonly string[]): RequestHeaders {
  let lines = '';
  let host: string | undefined;
  let ambiguous = false;
  let contentLength: number | undefined;
  let chunked = false;
  let traceparent: string | undefined;
  let forwardedFor: string | undefined;
  let via: string | undefined;
  let connection: string | undefined;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    if (specialLengths.has(name.length)) {
      const lower = name.toLowerCase();
      if (lower === 'host') {
        ambiguous ||= host !== undefined;
        host = value;
      } else if (hopByHop.has(lower)) {
        if (lower === 'connection') connection = joined(connection, value);
        else if (lower === 'transfer-encoding') chunked = true;
        continue;
      } else if (ours.has(lower)) {
        if (lower === 'content-length') contentLength = Number(value);
        else if (lower === 'traceparent') traceparent = value;
        else if (lower === 'x-forwarded-for') forwardedFor = joined(forwardedFor, value);
        else if (lower === 'via') via = joined(via, value);
        continue;
      }
    }
    if (name.charCodeAt(0) !== 0x3a) lines += `${name}: ${value}\r\n`;
  }
  const named = namedByConnection(connection);
  if (named) lines = without(lines, named);
  return { lines, host, ambiguous, contentLength, chunked, traceparent, forwardedFor, via };
}

/** `Host` stays, whatever `Connection` says: it names the site. */
function without(lines: string, named: ReadonlySet<string>): string {
  const kept = lines.split('\r\n').filter((line) => {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    return name === 'host' || !named.has(name);
  });
  return kept.join('\r\n');
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/**
 * Request line and header section for the server: end-to-end fields as they came, `Host` kept, `X-Forwarded-*` and
 * `Via` extended.
 * @param framing the line that says how long the body is, with its CRLF; empty: there is none.
 * @param traceparent in place of the client's, when the proxy has a span of its own.
 */
export function requestHead(
  request: IncomingMessage,
  headers: RequestHeaders,
  framing: string,
  traceparent: string | undefined,
): string {
  const { host } = headers;
  const client = request.socket.remoteAddress ?? 'unknown';
  const proto = 'encrypted' in request.socket ? 'https' : 'http';
  const trace = traceparent ?? headers.traceparent;
  return `${request.method} ${request.url} HTTP/1.1\r\n${headers.lines}${framing}x-forwarded-for: ${joined(
    headers.forwardedFor,
    client,
  )}\r\nx-forwarded-proto: ${proto}\r\n${host === undefined ? '' : `x-forwarded-host: ${host}\r\n`}via: ${joined(
    headers.via,
    viaName,
  )}\r\n${trace === undefined ? '' : `traceparent: ${trace}\r\n`}\r\n`;
}

/**
 * The headers for the client from those of the server (`raw`: names and values in turn).
 * @param closing the proxy is stopping: the client shall open a new connection for its next request.
 */
export function responseHeaders(raw: readonly string[], closing: boolean): string[] {
  let named: ReadonlySet<string> | undefined;
  const out: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] as string;
    const value = raw[index + 1] as string;
    if (specialLengths.has(name.length)) {
      const lower = name.toLowerCase();
      if (lower === 'connection') named = namedByConnection(value) ?? named;
      if (hopByHop.has(lower)) continue;
    }
    out.push(name, value);
  }
  const kept = named ? withoutNamed(out, named) : out;
  kept.push('via', viaName);
  if (closing) kept.push('connection', 'close');
  return kept;
}

function withoutNamed(flat: readonly string[], named: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    const name = flat[index] as string;
    if (!named.has(name.toLowerCase())) kept.push(name, flat[index + 1] as string);
  }
  return kept;
}
