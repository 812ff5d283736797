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
const ours = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'via', 'expect']);

const viaName = '1.1 nemuri';

/** The header names that a `Connection` header declares as its own. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined) return undefined;
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return names.some((name) => name !== 'close' && name !== 'keep-alive') ? new Set(names) : undefined;
}

/**
 * The headers for the server, as a flat list of names and values: end-to-end headers as they came, `Host` kept,
 * `X-Forwarded-*` and `Via` extended.
 * @param traceparent replaces the client's, when the proxy has a span of its own.
 */
export function requestHeaders(request: IncomingMessage, traceparent: string | undefined): string[] {
  const { rawHeaders, headers, socket } = request;
  const named = namedByConnection(headers.connection);
  const out: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || ours.has(lower) || named?.has(lower)) continue;
    if (traceparent !== undefined && lower === 'traceparent') continue;
    out.push(name, rawHeaders[index + 1] as string);
  }
  const client = socket.remoteAddress ?? 'unknown';
  const before = headers['x-forwarded-for'];
  out.push('x-forwarded-for', before ? `${before}, ${client}` : client);
  out.push('x-forwarded-proto', 'encrypted' in socket ? 'https' : 'http');
  if (headers.host) out.push('x-forwarded-host', headers.host);
  out.push('via', headers.via ? `${headers.via}, ${viaName}` : viaName);
  if (traceparent !== undefined) out.push('traceparent', traceparent);
  return out;
}

/**
 * The headers for the client from those of the server (`raw`: names and values in turn, as bytes or text).
 * @param closing the proxy is stopping: the client shall open a new connection for its next request.
 */
export function responseHeaders(raw: readonly (Buffer | string)[], closing: boolean): string[] {
  let named: ReadonlySet<string> | undefined;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (text(raw[index]).toLowerCase() === 'connection') named = namedByConnection(text(raw[index + 1]));
  }
  const out: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = text(raw[index]);
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && !named?.has(lower)) out.push(name, text(raw[index + 1]));
  }
  out.push('via', viaName);
  if (closing) out.push('connection', 'close');
  return out;
}

function text(part: Buffer | string | undefined): string {
  return typeof part === 'string' ? part : (part?.toString('latin1') ?? '');
}

/** Whether a request announces a body (RFC 9112 6.3). */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}
