import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import { parseListen } from '../../libs/runtime/service.ts';
import { acceptProxied, type ProxiedRules } from './acceptProxied.ts';
import { boundHttp1, type Http1Bounds } from './http1Bounds.ts';
import { answerParseError, endInOrder, type LingerBounds } from './lastWords.ts';
import { maxHeaderBytes } from './refusals.ts';

export interface TlsSettings {
  readonly host: string;
  readonly port: number;
  /** PEM files; a connection gets the first whose certificate is for the name it asks for, else the first. */
  readonly certificates: readonly { readonly certificateFile: string; readonly keyFile: string }[];
}

/**
 * HTTPS as the environment asks for it: `NEMURI_TLS_LISTEN` (`host:port`), `NEMURI_TLS_CERTIFICATES` and
 * `NEMURI_TLS_KEYS` (as many files each, comma-separated). Undefined: it asks for none.
 * @throws Error naming the variable, the rule and the value.
 */
export function tlsSettings(env: Readonly<Record<string, string | undefined>>): TlsSettings | undefined {
  if (env.NEMURI_TLS_LISTEN === undefined) return undefined;
  const { host, port } = parseListen('NEMURI_TLS_LISTEN', env.NEMURI_TLS_LISTEN);
  const certificates = filesOf(env.NEMURI_TLS_CERTIFICATES);
  const keys = filesOf(env.NEMURI_TLS_KEYS);
  if (certificates.length === 0 || certificates.length !== keys.length) {
    throw new Error(
      `NEMURI_TLS_CERTIFICATES and NEMURI_TLS_KEYS must name as many files each, one or more (got ${certificates.length} and ${keys.length})`,
    );
  }
  return {
    host,
    port,
    certificates: certificates.map((certificateFile, index) => ({
      certificateFile,
      keyFile: keys[index] ?? '',
    })),
  };
}

function filesOf(list = ''): string[] {
  return list
    .split(',')
    .map((file) => file.trim())
    .filter((file) => file !== '');
}

export interface TlsHandlers {
  readonly onRequest: (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => void;
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
  readonly onProblem: (problem: string, details: object) => void;
  /** Defined: connections begin with a PROXY header. */
  readonly proxied: () => ProxiedRules | undefined;
  /** How a connection of HTTP/1.1 ends. */
  readonly lingerNow: () => LingerBounds;
  /** A connection was closed at once, because `maxConnections` were open. */
  readonly onDrop: () => void;
}

export interface TlsListener {
  configure(settings: FleetConfig['proxy']): void;
  drain(patienceMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Connections that wait in the kernel for a worker to take them; it holds no more than `net.core.somaxconn`. */
export const listenBacklog = 65_535;
const watchIntervalMs = 1_000;
const handshakeTimeoutMs = 10_000;
/** Requests at once on one connection. */
const maxConcurrentStreams = 250;
/** How often Node looks for clients that are too slow. */
const slowClientCheckMs = 1_000;

interface Identity {
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

/**
 * HTTP/2 and HTTP/1.1 over TLS 1.2 and 1.3. The certificate files are read again when they change; while they can't
 * be read, or do not fit, the old ones stay.
 * @throws Error when they can't be read at the start, or the address is taken.
 */
export async function startTlsListener(settings: TlsSettings, handlers: TlsHandlers): Promise<TlsListener> {
  let identities = readIdentities(settings);
  const files = settings.certificates.flatMap(({ certificateFile, keyFile }) => [certificateFile, keyFile]);
  const reload = () => {
    try {
      identities = readIdentities(settings);
    } catch (error) {
      handlers.onProblem('certificates not read, the old ones stay', { error: messageOf(error) });
    }
  };
  const [first] = settings.certificates;
  const server = createSecureServer({
    allowHTTP1: true,
    handshakeTimeout: handshakeTimeoutMs,
    settings: { maxConcurrentStreams, maxHeaderListSize: maxHeaderBytes },
    minVersion: 'TLSv1.2',
    ...(first ? { cert: readFileSync(first.certificateFile), key: readFileSync(first.keyFile) } : {}),
    SNICallback: (name, choose) => {
      const fitting = identities.find(({ certificate }) => certificate.checkHost(name) !== undefined);
      choose(null, (fitting ?? identities[0])?.context);
    },
  });
  acceptProxied(server, handlers.proxied, handlers.onProblem);
  const sessions = new Set<ServerHttp2Session>();
  const http1 = server as unknown as Http1Bounds & { connectionsCheckingInterval: number };
  http1.connectionsCheckingInterval = slowClientCheckMs;
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    boundIdleness(session, () => http1.keepAliveTimeout);
  });
  server.on('sessionError', () => undefined);
  server.on('drop', handlers.onDrop);
  server.on('secureConnection', (socket) => endInOrder(socket, handlers.lingerNow));
  server.on('clientError', (error, socket) =>
    answerParseError(error, socket as Socket, handlers.lingerNow()),
  );
  const asHttp1 = (request: unknown, response: unknown, expectsContinue: boolean) =>
    handlers.onRequest(request as IncomingMessage, response as ServerResponse, expectsContinue);
  server.on('request', (request, response) => asHttp1(request, response, false));
  server.on('checkContinue', (request, response) => asHttp1(request, response, true));
  server.on('upgrade', handlers.onUpgrade);
  server.listen({ port: settings.port, host: settings.host, backlog: listenBacklog });
  await once(server, 'listening');
  for (const file of files) watchFile(file, { interval: watchIntervalMs, persistent: false }, reload);
  const stop = () => {
    for (const file of files) unwatchFile(file, reload);
  };
  return {
    configure(bounds) {
      boundHttp1(http1, bounds);
    },
    async drain(patienceMs) {
      stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // GOAWAY: what is open comes to its end, nothing new begins.
      for (const session of sessions) session.close();
      const timer = setTimeout(
        () => {
          for (const session of sessions) session.destroy();
        },
        Math.max(0, patienceMs),
      );
      await Promise.race([closed, once(AbortSignal.timeout(Math.max(1, patienceMs)), 'abort')]);
      clearTimeout(timer);
    },
    async close() {
      stop();
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** Closes a connection on which no stream was open for so long; a stream that is quiet is not idle. */
function boundIdleness(session: ServerHttp2Session, idleMs: () => number): void {
  let open = 0;
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    clearTimeout(timer);
    timer = open > 0 ? undefined : setTimeout(() => session.close(), idleMs());
  };
  session.on('stream', (stream) => {
    open += 1;
    wait();
    stream.once('close', () => {
      open -= 1;
      wait();
    });
  });
  session.once('close', () => clearTimeout(timer));
  wait();
}

function readIdentities({ certificates }: TlsSettings): Identity[] {
  return certificates.map(({ certificateFile, keyFile }) => {
    const cert = readFileSync(certificateFile);
    return {
      certificate: new X509Certificate(cert),
      context: createSecureContext({ cert, key: readFileSync(keyFile) }),
    };
  });
}
