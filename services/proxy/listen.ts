import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { acceptProxied, type ProxiedRules } from './acceptProxied.ts';
import { fieldsOf } from './clientResponse.ts';
import type { Upstream } from './gate.ts';
import { readHeaders, viaName } from './headers.ts';
import { boundHttp1 } from './http1Bounds.ts';
import { answerParseError, closeInOrder, endInOrder, type LingerBounds } from './lastWords.ts';
import { maxHeaderBytes, trustRule } from './refusals.ts';
import { listenBacklog, startTlsListener, type TlsSettings } from './tls.ts';

/** Stands for "a server of the pool" where the plug-in asks for an address before one is chosen. */
const anyUpstream = 'http://pool.invalid';
const connectRefused = 'HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n';
const lingerUnconfigured: LingerBounds = { lingerMs: 1_000, lingerBytes: 1_048_576 };
/** How often Node looks for clients that are too slow. */
const slowClientCheckMs = 1_000;

declare module 'fastify' {
  interface FastifyRequest {
    /** The server that an upgraded connection goes to. */
    nemuriUpstream: Upstream | undefined;
  }
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsSettings | undefined;
  /** @param expectsContinue the client waits for a word (100) before it sends the body. */
  readonly onRequest: (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => void;
  readonly onUpgrade: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
  readonly onProblem: (problem: string, details: object) => void;
}

/** The open ports. */
export interface Listener {
  /** Connections closed at once since the start, because `maxConnections` were open. */
  readonly refused: number;
  configure(settings: FleetConfig['proxy']): void;
  /**
   * Stops taking connections, then lets those that are open come to their end: each gets the answers it waits for,
   * the last one with `Connection: close`; idle ones time out by themselves, so that no request meets a closing socket.
   */
  drain(patienceMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the HTTP side. Requests go straight from Node's parser to the exchange; upgrades go through fastify and
 * @fastify/http-proxy. CONNECT is refused: this is no open proxy.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host, port, tls, onRequest, onUpgrade } = options;
  const server = createServer({
    connectionsCheckingInterval: slowClientCheckMs,
    maxHeaderSize: maxHeaderBytes,
    // Ours to refuse: Node would go on with what is pipelined behind.
    requireHostHeader: false,
  });
  let proxied: { http?: ProxiedRules; https?: ProxiedRules } = {};
  let linger: LingerBounds = lingerUnconfigured;
  const lingerNow = () => linger;
  let refused = 0;
  const onDrop = () => {
    refused += 1;
  };
  server.on('drop', onDrop);
  server.on('connection', (socket) => endInOrder(socket, lingerNow));
  const app = await openApp(server, onRequest, onUpgrade, lingerNow);
  acceptProxied(server, () => proxied.http, options.onProblem);
  server.on('request', (request, response) => onRequest(request, response, false));
  server.on('checkContinue', (request, response) => onRequest(request, response, true));
  server.on('connect', (_request, socket: Socket) => {
    socket.write(connectRefused);
    closeInOrder(socket, linger);
  });
  await app.listen({ host, port, backlog: listenBacklog });
  const secure = tls
    ? await startTlsListener(tls, {
        onRequest,
        onUpgrade: (request, socket, head) => server.emit('upgrade', request, socket, head),
        onProblem: options.onProblem,
        proxied: () => proxied.https,
        lingerNow,
        onDrop,
      })
    : undefined;
  return {
    get refused() {
      return refused;
    },
    configure(settings) {
      proxied = proxiedRules(settings);
      linger = settings;
      boundHttp1(server, settings);
      secure?.configure(settings);
    },
    async drain(patienceMs) {
      await Promise.all([drainConnections(server, patienceMs), secure?.drain(patienceMs)]);
    },
    async close() {
      await secure?.close();
      await app.close();
    },
  };
}

function proxiedRules(settings: FleetConfig['proxy']): { http?: ProxiedRules; https?: ProxiedRules } {
  const { proxyProtocol, trustedProxies, headerTimeoutMs } = settings;
  const rules = { trusts: trustRule(trustedProxies), headerTimeoutMs };
  return { ...(proxyProtocol.http ? { http: rules } : {}), ...(proxyProtocol.https ? { https: rules } : {}) };
}

async function openApp(
  server: Server,
  onRequest: ListenOptions['onRequest'],
  onUpgrade: ListenOptions['onUpgrade'],
  lingerNow: () => LingerBounds,
): Promise<FastifyInstance> {
  const app = fastify({
    serverFactory: () => server,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    clientErrorHandler: (error, socket) => answerParseError(error, socket, lingerNow()),
  });
  app.decorateRequest('nemuriUpstream', undefined);
  app.removeAllContentTypeParsers();
  await app.register(httpProxy, {
    httpMethods: app.supportedMethods,
    // The plug-in knows this option; its types do not.
    wsClientOptions: {
      rewriteRequestHeaders: (_headers: unknown, request: FastifyRequest) => upgradeHeaders(request.raw),
    } as object,
    replyOptions: {
      getUpstream: (request) => (request as FastifyRequest).nemuriUpstream?.url ?? anyUpstream,
    },
    websocket: true,
    upstream: '',
    preHandler: async (request, reply) => {
      if (request.headers.upgrade?.toLowerCase() === 'websocket') return onUpgrade(request, reply);
      // Another protocol (curl asks for h2c): a server may go on as if it had not been asked.
      reply.hijack();
      reply.raw.shouldKeepAlive = false;
      onRequest(request.raw, reply.raw, false);
    },
  });
  return app;
}

/** What a WebSocket's server gets of the client's headers; the handshake itself is made anew. */
function upgradeHeaders(request: IncomingMessage): Record<string, string | string[]> {
  const { lines } = readHeaders(request.rawHeaders);
  const fields = lines
    .split('\r\n')
    .filter((line) => line !== '' && !/^(sec-websocket-|content-)/i.test(line))
    .flatMap((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
  const client = request.socket.remoteAddress ?? 'unknown';
  const proto = 'encrypted' in request.socket ? 'https' : 'http';
  return { ...fieldsOf(fields), 'x-forwarded-for': client, 'x-forwarded-proto': proto, via: viaName };
}

async function drainConnections(server: Server, patienceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    // Node's own http.Server.close would cut idle connections, on which a request may be on its way.
    NetServer.prototype.close.call(server, () => resolve());
  });
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, patienceMs));
  });
  await Promise.race([closed, patience]);
  clearTimeout(timer);
}
