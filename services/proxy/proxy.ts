import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import httpProxy from '@fastify/http-proxy';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { serversOfPool } from '../../libs/domain/mod.ts';
import { messageOf, problemOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { followDrains, isDraining } from './drains.ts';
import { carry, sendProblem } from './exchange.ts';
import { createGate, type Gate, type Upstream } from './gate.ts';
import { readHeaders } from './headers.ts';
import { takeSample } from './load.ts';
import { refusalOf } from './refusals.ts';
import { createRequestTrace, noTrace, type RequestTrace } from './requestTrace.ts';
import { compileRoutes, type RouteTable } from './routes.ts';

export interface ProxySettings {
  readonly host: string;
  readonly port: number;
  /** Share of ordinary requests that get a span, when tracing is on. */
  readonly traceSampleRatio: number;
}

/** How long a client may keep an idle connection; told to it by `Keep-Alive`. */
const clientKeepAliveMs = 10_000;
/** Kept of the stop time-out for what comes after the last connection. */
const stopReserveMs = 5_000;
const samplePublishTimeoutMs = 2_000;
const ejectionPublishTimeoutMs = 2_000;
const idleSampleIntervalMs = 1_000;
/** Stands for "a server of the pool" where the plug-in asks for an address before one is chosen. */
const anyUpstream = 'http://pool.invalid';

declare module 'fastify' {
  interface FastifyRequest {
    /** The server that an upgraded connection goes to. */
    nemuriUpstream: Upstream | undefined;
  }
}

/**
 * The reverse proxy: routes by host and path, sends each request to the least loaded server that is ready, parks it
 * while there is none, measures the load. It serves from memory: the bus may be gone.
 */
export async function startProxy(context: ServiceContext, settings: ProxySettings): Promise<RunningService> {
  const { bus, log, nowMs } = context;
  const proxy = context.settings.name;
  const view = await openFleetView({
    bus,
    name: proxy,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const gates = new Map<string, Gate>();
  let route: RouteTable = () => undefined;
  let closing = false;

  const inFlightOn = (server: string) => {
    let inFlight = 0;
    for (const gate of gates.values()) {
      for (const upstream of gate.upstreams) if (upstream.name === server) inFlight += upstream.inFlight;
    }
    return inFlight;
  };
  const drains = followDrains({ view, proxy, log, nowMs, inFlightOn });
  const onIdle = (server: string) => {
    if (isDraining(view.fleet, server)) drains.look();
  };
  const update = (pools: readonly string[]) => {
    for (const pool of pools) {
      const config = view.fleet.config?.pools[pool];
      if (!config) continue;
      const gate = gates.get(pool) ?? createGate({ pool, config, nowMs, onIdle });
      gates.set(pool, gate);
      gate.update(config, serversOfPool(view.fleet, pool));
    }
  };
  const configure = () => {
    const { config } = view.fleet;
    if (!config) return;
    route = compileRoutes(config);
    for (const [pool, gate] of gates) {
      if (config.pools[pool]) continue;
      gates.delete(pool);
      gate.close();
    }
    update(Object.keys(config.pools));
  };
  configure();
  view.onChange((event) => {
    if (event.type === 'FleetConfigured') configure();
    else if ('server' in event.data) update([view.fleet.servers[event.data.server]?.pool ?? '']);
    drains.look();
  });

  const gateOf = (host: string | undefined, path: string): Gate | undefined => {
    const pool = route(host, path);
    return pool === undefined ? undefined : gates.get(pool);
  };
  const traceOf = (request: IncomingMessage, traceparent: string | undefined, gate: Gate): RequestTrace => {
    if (!context.telemetry.enabled) return noTrace;
    return createRequestTrace({
      method: request.method ?? 'GET',
      path: request.url?.split('?', 1)[0] ?? '/',
      pool: gate.pool,
      traceparent,
      startedAtMs: nowMs(),
      latencyObjectiveMs: gate.config.latencyObjectiveMs,
      sampleRatio: settings.traceSampleRatio,
      nowMs,
    });
  };
  const onEjected = ({ pool }: Gate, upstream: Upstream, untilMs: number, reason: string) => {
    log.warn({ server: upstream.name, reason }, 'ejected');
    const data = { server: upstream.name, pool, proxy, reason, untilMs };
    view
      .record({ type: 'ServerEjected', data }, ejectionPublishTimeoutMs)
      .catch((error) => log.debug({ error: messageOf(error) }, 'ejection not reported'));
  };
  const isClosing = () => closing;
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const headers = readHeaders(request.rawHeaders);
    const refusal = refusalOf(request.url ?? '', headers);
    const gate = refusal === undefined ? gateOf(headers.host, request.url ?? '/') : undefined;
    if (refusal !== undefined) refuseUnread(response, refusal);
    else if (!gate) refuseUnrouted(response, view, closing);
    else {
      const trace = traceOf(request, headers.traceparent, gate);
      carry({ request, headers, response, gate, trace, closing: isClosing, onEjected });
    }
  };

  const app = await listen(settings, {
    onRequest,
    async onUpgrade(request, reply) {
      const gate = gateOf(request.headers.host, request.raw.url ?? '/');
      if (!gate) return refuseUnrouted(reply.hijack().raw, view, closing);
      const abort = new AbortController();
      const { socket } = request.raw;
      socket.once('close', () => abort.abort(new Error('the client has gone')));
      gate.meter.arrivals += 1;
      const upstream = gate.take() ?? (await gate.park({ bytes: 0, signal: abort.signal }));
      request.nemuriUpstream = upstream;
      // An open connection counts as in flight for as long as it is open.
      if (socket.destroyed) gate.release(upstream);
      else socket.once('close', () => gate.release(upstream));
    },
  });

  let sampledAtMs = nowMs();
  const sample = async (stopping: boolean) => {
    const timeMs = nowMs();
    const intervalMs = timeMs - sampledAtMs;
    if (intervalMs <= 0 && !stopping) return;
    sampledAtMs = timeMs;
    const drafts = [...gates.values()].map((gate) => {
      const { parking } = gate;
      const parkedOldestMs = parking.oldestMs === undefined ? 0 : Math.max(0, timeMs - parking.oldestMs);
      const about = {
        pool: gate.pool,
        proxy,
        intervalMs: Math.max(1, intervalMs),
        stopping,
        parked: parking.count,
      };
      const { traceparent } = parking;
      const data = takeSample({ ...about, parkedOldestMs }, gate.meter, gate.upstreams);
      return { type: 'LoadSampled', data, ...(traceparent ? { traceparent } : {}) } as const;
    });
    await Promise.all(drafts.map((draft) => bus.publish(draft, { timeoutMs: samplePublishTimeoutMs })));
  };
  const sampler = startLoop({
    work: () => sample(false),
    delayMs: () => view.fleet.config?.bounds.sampleIntervalMs ?? idleSampleIntervalMs,
    onError: (error) => log.debug({ error: messageOf(error) }, 'load sample dropped'),
  });

  return {
    fleet: () => view.fleet,
    // Without the bus it goes on serving from memory: only a proxy that knows no servers is not ready.
    notReady: () => (view.fleet.config ? undefined : fleetReadiness(view.fleet, bus)),
    async stop() {
      closing = true;
      await drainConnections(app, context.settings.stopTimeoutMs - stopReserveMs);
      await sampler.stop();
      drains.stop();
      await sample(true).catch((error) => log.debug({ error: messageOf(error) }, 'good-bye not said'));
      for (const gate of gates.values()) gate.close();
      await app.close();
      await view.close();
    },
  };
}

function refuseUnrouted(response: ServerResponse, view: FleetView, closing: boolean): void {
  const problem = view.fleet.config
    ? problemOf('NEMURI_NO_ROUTE', 'Check the Host header and the path.')
    : problemOf('NEMURI_NOT_CONFIGURED', 'Try again.');
  sendProblem(response, problem, problem.status === 503 ? 2 : undefined, closing);
}

/** What was not read to its end would be taken for the next request: the connection ends with the answer. */
function refuseUnread(response: ServerResponse, detail: string): void {
  sendProblem(response, problemOf('NEMURI_BAD_REQUEST', detail), undefined, true);
}

interface Handlers {
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  readonly onUpgrade: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
}

/**
 * Opens the HTTP side. Requests go straight from Node's parser to the exchange: a profile showed the way through
 * the framework's router as a fifth of a request. Upgrades go through fastify and @fastify/http-proxy.
 */
async function listen({ host, port }: ProxySettings, handlers: Handlers): Promise<FastifyInstance> {
  const app = fastify({
    serverFactory: () => createServer({ keepAliveTimeout: clientKeepAliveMs }, handlers.onRequest),
    forceCloseConnections: true,
    exposeHeadRoutes: false,
  });
  app.decorateRequest('nemuriUpstream', undefined);
  await app.register(httpProxy, {
    httpMethods: ['GET'],
    replyOptions: {
      getUpstream: (request) => (request as FastifyRequest).nemuriUpstream?.url ?? anyUpstream,
    },
    websocket: true,
    upstream: '',
    preHandler: async (request, reply) => {
      if (request.headers.upgrade?.toLowerCase() === 'websocket') await handlers.onUpgrade(request, reply);
    },
  });
  await app.listen({ host, port });
  return app;
}

/**
 * Stops taking connections, then lets those that are open come to their end: each gets the answers it waits for, the
 * last one with `Connection: close`; idle ones time out by themselves, so that no request meets a closing socket.
 */
async function drainConnections(app: FastifyInstance, patienceMs: number): Promise<void> {
  const { server } = app;
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
