import { readFile } from 'node:fs/promises';
import { TLSSocket } from 'node:tls';
import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { Agent, buildConnector } from 'undici';
import type { RedfishMethod } from '../../../libs/events/mod.ts';
import { DriverError } from './driver.ts';
import { type Answer, isLostConnection, kindOfConnectionError } from './redfishOutcome.ts';
import { codeOf } from './secretKeeper.ts';

export interface ConnectionSettings {
  readonly serverName: string;
  /** Names its spans. */
  readonly protocol: 'redfish' | 'http';
  /** Scheme, host and port; nothing is ever sent elsewhere. */
  readonly origin: string;
  readonly tls: RedfishMethod['tls'];
  readonly requestTimeoutMs: number;
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Request {
  readonly method: Method;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** A GET that does something must not be sent again when its connection is lost. */
  readonly once?: boolean;
}

export interface Connection {
  /**
   * One exchange. Bounded by requestTimeoutMs and by the signal, whose reason it throws; every other failure is
   * a DriverError. An answer of any status is returned.
   */
  send(request: Request, signal: AbortSignal): Promise<Answer>;
  /** Cuts what is under way and frees the sockets. */
  close(): Promise<void>;
}

type Connector = ReturnType<typeof buildConnector>;

/** A connector that compares the certificate before the first byte of a request is sent. */
function pinned(connect: Connector, fingerprint256: string): Connector {
  const expected = fingerprint256.toUpperCase();
  return (options, callback) => {
    connect(options, (error, socket) => {
      if (error || !(socket instanceof TLSSocket))
        return error ? callback(error, null) : callback(null, socket);
      if (socket.getPeerCertificate().fingerprint256 === expected) return callback(null, socket);
      socket.destroy();
      const mismatch = new Error('the certificate has another SHA-256 fingerprint than fingerprint256');
      return callback(Object.assign(mismatch, { code: 'ERR_TLS_FINGERPRINT' }), null);
    });
  };
}

async function createAgent(settings: ConnectionSettings): Promise<Agent> {
  const { tls, requestTimeoutMs } = settings;
  const ca = tls?.caFile === undefined ? undefined : await readCa(tls.caFile, settings.serverName);
  const connect = buildConnector({
    timeout: requestTimeoutMs,
    // Written out either way, so that NODE_TLS_REJECT_UNAUTHORIZED has no say. A pinned certificate needs no CA.
    rejectUnauthorized: tls?.insecure !== true && (tls?.fingerprint256 === undefined || ca !== undefined),
    // A resumed TLS session may show no certificate to compare.
    ...(tls?.fingerprint256 === undefined ? {} : { maxCachedSessions: 0 }),
    ...(ca === undefined ? {} : { ca }),
  });
  return new Agent({
    connect: tls?.fingerprint256 === undefined ? connect : pinned(connect, tls.fingerprint256),
    connections: settings.maxConnections,
    maxResponseSize: settings.maxBodyBytes,
    // The exchange's own timer bounds all of it.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

async function readCa(caFile: string, serverName: string): Promise<string> {
  try {
    return await readFile(caFile, 'utf8');
  } catch (error) {
    throw new DriverError('unauthorized', `${serverName}: caFile ${caFile} can't be read: ${codeOf(error)}`);
  }
}

function toHeaders(record: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(record)) {
    for (const part of typeof value === 'string' ? [value] : (value ?? [])) {
      try {
        headers.append(name, part);
      } catch {
        // A header that no HTTP allows is one nobody reads here.
      }
    }
  }
  return headers;
}

/** A promise that rejects with the signal's reason, and what takes its listener away again. */
function rejectOnAbort(signal: AbortSignal): { aborted: Promise<never>; release(): void } {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  aborted.catch(() => {});
  return { aborted, release: () => signal.removeEventListener('abort', onAbort) };
}

/** Waits for a promise, or throws the signal's reason as soon as it is aborted. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { aborted, release } = rejectOnAbort(signal);
  promise.catch(() => {});
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    release();
  }
}

class ExchangeTimeout extends Error {}

/** Opens nothing before the first exchange. Throws nothing. */
export function createConnection(settings: ConnectionSettings): Connection {
  const { serverName, origin, requestTimeoutMs } = settings;
  let agent: Promise<Agent> | undefined;
  let closed = false;

  function getAgent(): Promise<Agent> {
    if (closed) throw new DriverError('unreachable', `${serverName}: the driver is closed`);
    if (!agent) {
      const created = createAgent(settings);
      agent = created;
      // A CA file that could not be read may be there the next time.
      created.catch(() => {
        if (agent === created) agent = undefined;
      });
    }
    return agent;
  }

  async function exchange(request: Request, signal: AbortSignal, caller: AbortSignal): Promise<Answer> {
    const dispatcher = await getAgent();
    caller.throwIfAborted();
    const response = await dispatcher.request({
      origin,
      path: request.path,
      method: request.method,
      headers: { accept: 'application/json', 'accept-encoding': 'identity', ...request.headers },
      body: request.body ?? null,
      signal,
    });
    const body = await response.body.text();
    return { status: response.statusCode, headers: toHeaders(response.headers), body };
  }

  async function bounded(request: Request, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const own = new AbortController();
    const { aborted, release } = rejectOnAbort(signal);
    aborted.catch((reason) => own.abort(reason));
    const timer = setTimeout(() => own.abort(new ExchangeTimeout()), requestTimeoutMs);
    try {
      // undici sees an abort only once it is connected, hence the race.
      return await untilAborted(
        exchange(request, own.signal, signal).catch((error) => {
          const mayRepeat = request.method === 'GET' && !request.once;
          if (!mayRepeat || own.signal.aborted || !isLostConnection(error)) throw error;
          return exchange(request, own.signal, signal);
        }),
        own.signal,
      );
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof DriverError) throw error;
      const where = `${serverName}: ${request.method} ${pathOf(request)}`;
      if (error instanceof ExchangeTimeout)
        throw new DriverError('unreachable', `${where}: no answer within ${requestTimeoutMs} ms`);
      throw new DriverError(kindOfConnectionError(error), `${where}: ${describe(error)}`);
    } finally {
      clearTimeout(timer);
      release();
    }
  }

  return {
    send: (request, signal) =>
      traced(settings, request, (headers) => bounded({ ...request, headers }, signal)),
    async close() {
      if (closed) return;
      closed = true;
      const opened = await agent?.catch(() => undefined);
      await opened?.destroy();
    },
  };
}

// Only errors of Node and undici come here: they name addresses and codes, and no header or body.
function describe(error: unknown): string {
  const text = error instanceof Error && error.message ? error.message.slice(0, 200) : 'failed';
  return `${text} (${codeOf(error)})`;
}

/** Without its query, which may hold a secret. */
function pathOf({ path }: Request): string {
  return path.split('?', 1)[0] ?? '/';
}

const tracer = trace.getTracer('nemuri.power');

/**
 * A client span around one exchange (OpenTelemetry semantic conventions for HTTP), and its `traceparent` to the
 * device; neither when nothing is being traced.
 */
async function traced(
  { origin, protocol: driver }: ConnectionSettings,
  request: Request,
  send: (headers: Readonly<Record<string, string>>) => Promise<Answer>,
): Promise<Answer> {
  if (!trace.getActiveSpan()) return send(request.headers);
  const { hostname, port, protocol } = new URL(origin);
  const span = tracer.startSpan(`${driver} ${request.method}`, {
    kind: SpanKind.CLIENT,
    attributes: {
      'http.request.method': request.method,
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
      'url.scheme': protocol.slice(0, -1),
      'url.path': pathOf(request),
    },
  });
  const headers = { ...request.headers };
  propagation.inject(trace.setSpan(context.active(), span), headers);
  try {
    const answer = await send(headers);
    span.setAttribute('http.response.status_code', answer.status);
    if (answer.status >= 400) fail(span, String(answer.status));
    return answer;
  } catch (error) {
    fail(span, error instanceof DriverError ? error.kind : 'cancelled');
    throw error;
  } finally {
    span.end();
  }
}

function fail(span: Span, errorType: string): void {
  span.setAttribute('error.type', errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}
