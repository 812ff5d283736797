import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import { addressGuard } from '../../../libs/runtime/addressGuard.ts';
import { bodyTimeout } from '../body.ts';
import type { ClientBounds, UpstreamClient } from './client.ts';
import type { Call, FailedAt, TlsOptions, UpstreamRequest } from './connection.ts';

/** One connection to a server, with the streams open on it. */
interface Session {
  readonly http2: ClientHttp2Session;
  streams: number;
  connected: boolean;
  /** The server wants no new streams on it. */
  leaving: boolean;
}

const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL } = constants;
const { NGHTTP2_FLAG_END_STREAM } = constants;
/** What a connection carries at once when its server allows more; another is opened then. */
const maxStreamsPerConnection = 128;
/** Back-pressure is by each stream's window: that of the whole connection must not be the bottleneck. */
const connectionWindowBytes = 4 * 1024 * 1024;

/**
 * The connections to one server that speaks HTTP/2 (RFC 9113): over TLS by ALPN, in plain by prior knowledge.
 * @param url `http:` or `https:`, host and port; what follows them is not used.
 */
export function createHttp2Client(url: string, bounds: ClientBounds, tls: TlsOptions = {}): UpstreamClient {
  const { origin, protocol, hostname } = new URL(url);
  const sessions = new Set<Session>();
  let closed = false;

  const open = (): Session => {
    const http2 = connect(origin, { maxSessionMemory: 64, ...tls, ...addressGuard.target(hostname) });
    const session: Session = { http2, streams: 0, connected: false, leaving: false };
    sessions.add(session);
    const timer = setTimeout(() => http2.destroy(new Error('connect time-out')), bounds.connectTimeoutMs);
    const leave = () => {
      clearTimeout(timer);
      session.leaving = true;
      sessions.delete(session);
    };
    http2.once('connect', () => {
      clearTimeout(timer);
      session.connected = true;
      http2.setLocalWindowSize(connectionWindowBytes);
    });
    http2.once('goaway', leave);
    http2.once('close', leave);
    http2.on('error', leave);
    http2.setTimeout(bounds.keepAliveTimeoutMs, () => {
      if (session.streams === 0) http2.close();
    });
    return session;
  };
  const free = (): Session => {
    for (const session of sessions) {
      const { maxConcurrentStreams = maxStreamsPerConnection } = session.http2.remoteSettings ?? {};
      const most = Math.min(maxConcurrentStreams, maxStreamsPerConnection);
      if (!session.leaving && !session.http2.closed && session.streams < most) return session;
    }
    return open();
  };
  return {
    send(request, handler) {
      const call: Call = { request, handler, connection: undefined };
      carry(call, free(), protocol === 'https:' ? 'https' : 'http', bounds);
      return call;
    },
    get pending() {
      let waiting = 0;
      for (const { connected, streams } of sessions) if (!connected) waiting += streams;
      return waiting;
    },
    close() {
      closed = true;
      for (const { http2 } of sessions) http2.close();
    },
    destroy() {
      for (const { http2 } of sessions)
        http2.destroy(closed ? undefined : new Error('the proxy is stopping'));
    },
  };
}

function carry(call: Call, session: Session, scheme: string, bounds: ClientBounds): void {
  const { request, handler } = call;
  const { body } = request;
  const stream = session.http2.request(fieldsOfHead(request.head, scheme), {
    endStream: body.content === null,
    waitForTrailers: body.content !== null,
  });
  let begun = false;
  let timedOut = false;
  let bodyError: Error | undefined;
  let trailers: string[] = [];
  session.streams += 1;
  call.connection = {
    abort: () => settle(() => stream.close(NGHTTP2_CANCEL)),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  };
  const settle = (tell: () => void) => {
    if (!call.connection) return;
    call.connection = undefined;
    tell();
  };
  const fail = (error: Error) =>
    settle(() => {
      const at = failedAt(stream, session, begun, timedOut);
      stream.close(NGHTTP2_CANCEL);
      handler.onError(error, at);
    });
  stream.setTimeout(bounds.responseTimeoutMs, () => {
    timedOut = true;
    fail(body.awaited ? bodyTimeout() : new Error('the server was silent for too long'));
  });
  stream.on('headers', (fields) => {
    if (call.connection) handler.onInformational(headOf(fields, false));
  });
  stream.once('response', (fields, flags) => {
    begun = true;
    stream.setTimeout(bounds.idleTimeoutMs);
    if (!call.connection) return;
    handler.onHead(headOf(fields, (flags & NGHTTP2_FLAG_END_STREAM) !== 0));
    if (call.connection) handler.onQuiet();
  });
  stream.on('data', (chunk: Buffer) => {
    if (call.connection) handler.onData(chunk, false);
  });
  stream.once('trailers', (fields) => {
    trailers = flatFields(fields);
  });
  stream.once('end', () => {
    if (!begun || stream.rstCode !== NGHTTP2_NO_ERROR) return fail(new Error('the server reset the stream'));
    settle(() => {
      handler.onEnd(trailers);
      // A server that has answered needs no more of the request (RFC 9113 8.1).
      if (!stream.writableFinished) stream.close(NGHTTP2_NO_ERROR);
    });
  });
  stream.on('error', fail);
  stream.once('close', () => {
    session.streams -= 1;
    fail(bodyError ?? new Error('the connection to the server broke'));
  });
  stream.once('wantTrailers', () => stream.sendTrailers(fieldsOfLines(body.trailers())));
  sendBody(call, stream).catch((error) => {
    bodyError = error as Error;
    fail(bodyError);
  });
}

async function sendBody(call: Call, stream: ClientHttp2Stream): Promise<void> {
  const { request, handler } = call;
  const { content } = request.body;
  if (content === null) return;
  if (typeof content !== 'function') {
    handler.onBodySent(content.length);
    stream.end(content);
    return;
  }
  for await (const chunk of content()) {
    if (!call.connection || stream.destroyed) return;
    handler.onBodySent(chunk.length);
    if (!stream.write(chunk)) await writable(stream);
  }
  if (call.connection && !stream.destroyed) stream.end();
}

function writable(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.once('drain', done);
    stream.once('close', done);
  });
}

function failedAt(stream: ClientHttp2Stream, session: Session, begun: boolean, timedOut: boolean): FailedAt {
  if (begun) return 'inAnswer';
  // What a server refuses it has not looked at (RFC 9113 8.7).
  if (!session.connected || stream.rstCode === NGHTTP2_REFUSED_STREAM) return 'connect';
  return timedOut ? 'timeout' : 'beforeAnswer';
}

type Fields = Record<string, string | string[]>;

/** The head as HTTP/1.1 has it, in the fields of HTTP/2; gRPC wants to hear that trailers are taken. */
function fieldsOfHead(head: UpstreamRequest['head'], scheme: string): Fields {
  const start = head.indexOf('\r\n');
  const [method = '', path = ''] = head.slice(0, start).split(' ');
  const { host, 'transfer-encoding': _framing, ...fields } = fieldsOfLines(head.slice(start + 2));
  const authority = typeof host === 'string' ? { ':authority': host } : {};
  return { ':method': method, ':scheme': scheme, ...authority, ':path': path, ...fields, te: 'trailers' };
}

function fieldsOfLines(lines: string): Fields {
  const fields: Fields = {};
  for (const line of lines.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const known = fields[name];
    fields[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return fields;
}

function headOf(fields: IncomingHttpHeaders & IncomingHttpStatusHeader, isWhole: boolean) {
  const framing = isWhole ? ({ kind: 'none' } as const) : ({ kind: 'close' } as const);
  return {
    status: fields[':status'] ?? 502,
    reason: '',
    headers: flatFields(fields),
    framing,
    reusable: true,
  };
}

/** Names and values in turn, without the fields of HTTP/2 itself. */
function flatFields(fields: IncomingHttpHeaders): string[] {
  return Object.entries(fields).flatMap(([name, value]) => {
    if (name.startsWith(':') || value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).flatMap((one) => [name, one]);
  });
}
