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
  'forwarded',
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
const specialLengths = new Set([...hopByHop, ...ours, 'host', 'accept'].map((name) => name.length));

export const viaName = '1.1 nemuri';

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
  readonly userAgent: string | undefined;
  readonly accept: string | undefined;
  readonly forwarded: ForwardedChain;
  readonly via: string | undefined;
}

/** What proxies before us said of the client. */
interface ForwardedChain {
  for?: string;
  host?: string;
  proto?: string;
  /** RFC 7239. */
  standard?: string;
}

/** Who speaks to us, and what we say of it. */
export interface ClientSide {
  readonly address: string;
  readonly encrypted: boolean;
  readonly rules: {
    /** Whether what this address says of clients before it is believed. */
    readonly trusts: (address: string) => boolean;
    readonly forwardedHeader: boolean;
  };
}

/** The header names that a `Connection` header declares as its own. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined;
  const names = connection.split(',').map((name) => name.trim().toLowerCase());
  return names.some((name) => name !== 'close' && name !== 'keep-alive') ? new Set(names) : undefined;
}

/** Reads the header section; of the fields of HTTP/2 that begin with a colon, `:authority` becomes `Host`. */
export function readHeaders(rawHeaders: readonly string[]): RequestHeaders {
  let lines = '';
  let host: string | undefined;
  let ambiguous = false;
  let contentLength: number | undefined;
  let chunked = false;
  let traceparent: string | undefined;
  let forwarded = noChain;
  let via: string | undefined;
  let userAgent: string | undefined;
  let accept: string | undefined;
  let connection: string | undefined;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    if (specialLengths.has(name.length)) {
      const lower = name.toLowerCase();
      if (lower === ':authority') {
        host ??= value;
        lines = `host: ${value}\r\n${lines}`;
      } else if (lower === 'host') {
        ambiguous ||= host !== undefined;
        host = value;
      } else if (lower === 'user-agent') userAgent = value;
      else if (lower === 'accept') accept = value;
      else if (hopByHop.has(lower)) {
        if (lower === 'connection') connection = joined(connection, value);
        else if (lower === 'transfer-encoding') chunked = true;
        continue;
      } else if (ours.has(lower)) {
        if (lower === 'content-length') contentLength = Number(value);
        else if (lower === 'traceparent') traceparent = value;
        else if (lower === 'via') via = joined(via, value);
        else forwarded = extended(forwarded, lower, value);
        continue;
      }
    }
    if (name.charCodeAt(0) !== 0x3a) lines += `${name}: ${value}\r\n`;
  }
  const named = namedByConnection(connection);
  if (named) lines = without(lines, named);
  return { lines, host, ambiguous, contentLength, chunked, traceparent, userAgent, accept, forwarded, via };
}

/** `Host` stays, whatever `Connection` says: it names the site. */
function without(lines: string, named: ReadonlySet<string>): string {
  const kept = lines.split('\r\n').filter((line) => {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    return name === 'host' || !named.has(name);
  });
  return kept.join('\r\n');
}

const noChain: ForwardedChain = {};

function extended(chain: ForwardedChain, lower: string, value: string): ForwardedChain {
  switch (lower) {
    case 'x-forwarded-for':
      return { ...chain, for: joined(chain.for, value) };
    case 'x-forwarded-host':
      return { ...chain, host: value };
    case 'x-forwarded-proto':
      return { ...chain, proto: value };
    case 'forwarded':
      return { ...chain, standard: joined(chain.standard, value) };
    default:
      return chain;
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/**
 * Request line and header section for the server: end-to-end fields as they came, `Host` kept, `Via` extended.
 * `X-Forwarded-*` and `Forwarded` of a trusted proxy are extended; anyone else's are replaced, since a client could
 * say anything there.
 * @param framing the line that says how long the body is, with its CRLF; empty: there is none.
 * @param traceparent in place of the client's, when the proxy has a span of its own.
 */
export function requestHead(
  request: { readonly method?: string | undefined; readonly url?: string | undefined },
  headers: RequestHeaders,
  client: ClientSide,
  framing: string,
  traceparent: string | undefined,
): string {
  const { forwarded } = headers;
  const chain = forwarded !== noChain && client.rules.trusts(client.address) ? forwarded : noChain;
  const proto = chain.proto ?? (client.encrypted ? 'https' : 'http');
  const host = chain.host ?? headers.host;
  const trace = traceparent ?? headers.traceparent;
  let head = `${request.method} ${request.url} HTTP/1.1\r\n${headers.lines}${framing}`;
  head += `x-forwarded-for: ${joined(chain.for, client.address)}\r\nx-forwarded-proto: ${proto}\r\n`;
  if (host !== undefined) head += `x-forwarded-host: ${host}\r\n`;
  if (client.rules.forwardedHeader)
    head += `forwarded: ${joined(chain.standard, forwardedOf(client, headers.host))}\r\n`;
  head += `via: ${joined(headers.via, viaName)}\r\n`;
  if (trace !== undefined) head += `traceparent: ${trace}\r\n`;
  return `${head}\r\n`;
}

/** One element of `Forwarded` (RFC 7239 4): an IPv6 address stands in brackets and quotes, so does a host with a port. */
function forwardedOf({ address, encrypted }: ClientSide, host: string | undefined): string {
  const node = address.includes(':') ? `"[${address}]"` : address;
  const named = host !== undefined && /^[\w.:[\]-]+$/.test(host) ? `;host="${host}"` : '';
  return `for=${node}${named};proto=${encrypted ? 'https' : 'http'}`;
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
