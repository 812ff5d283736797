import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { type Problem, ProblemError, problemOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { openFilesLimit } from '../../libs/runtime/openFiles.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { type AccessLog, type AccessRecord, openAccessLog } from './accessLog.ts';
import { accessRecordOf } from './accessRecord.ts';
import { isEarly, isHttp2 } from './clientResponse.ts';
import { connectionRoom } from './connectionRoom.ts';
import { openDoors } from './doors.ts';
import { carry } from './exchange.ts';
import type { Gate, Upstream } from './gate.ts';
import { type RequestHeaders, readHeaders } from './headers.ts';
import { type Listener, listen } from './listen.ts';
import { proxySamples } from './metrics.ts';
import { type ClientRules, compileClientRules } from './refusals.ts';
import { createRequestTrace, noTrace, type RequestTrace } from './requestTrace.ts';
import { compileRoutes, type RouteTable } from './routes.ts';
import { sendProblem } from './sendProblem.ts';
import type { TlsSettings } from './tls.ts';
import { createUpgraded } from './upgraded.ts';

export interface ProxySettings {
  readonly host: string;
  readonly port: number;
  /** HTTPS beside HTTP; left out: none. */
  readonly tls?: TlsSettings;
  /** Share of ordinary requests that get a span, when tracing is on. */
  readonly traceSampleRatio: number;
}

/** Kept of the stop time-out for what comes after the last connection. */
const stopReserveMs = 5_000;
/**
 * The reverse proxy: routes by host and path, sends each request to the least loaded server that is ready, parks it
 * while there is none, measures the load. It serves from memory: the bus may be gone.
 */
export async function startProxy(context: ServiceContext, settings: ProxySettings): Promise<RunningService> {
  const { bus, log, nowMs } = context;
  const view = await openFleetView({
    bus,
    name: `proxy.${context.settings.name}`,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  let route: RouteTable = () => undefined;
  let rules: ClientRules | undefined;
  let listener: Listener | undefined;
  let access: AccessLog | undefined;
  let accessSettings = '';
  let closing = false;

  const upgraded = createUpgraded();
  const onProblem = (problem: string, details: object) => log.warn(details, problem);
  const configureAccess = (settings: FleetConfig['proxy']['accessLog']) => {
    const asked = JSON.stringify(settings);
    if (asked === accessSettings) return;
    accessSettings = asked;
    void access?.close();
    access = openAccessLog(settings, onProblem);
  };
  const roomy = (asked: FleetConfig['proxy']): FleetConfig['proxy'] => {
    const openFiles = openFilesLimit();
    const maxConnections = connectionRoom(asked.maxConnections, openFiles, settings.tls ? 2 : 1);
    if (maxConnections < asked.maxConnections) {
      const about = { openFiles, maxConnections, asked: asked.maxConnections };
      log.warn(about, 'the limit of open files allows fewer connections of clients than are asked for');
    }
    return { ...asked, maxConnections };
  };
  const doors = openDoors({
    context,
    view,
    onConfigured() {
      const { config } = view.fleet;
      if (!config) return;
      configureAccess(config.proxy.accessLog);
      route = compileRoutes(config);
      rules = compileClientRules(config.proxy);
      listener?.configure(roomy(config.proxy));
    },
    onTimedOut(server) {
      upgraded.restart(server);
      for (const { streams } of doors.upstreamsOf(server)) for (const end of streams) end();
    },
  });

  const gateOf = (host: string | undefined, path: string): Gate | undefined => {
    const pool = route(host, path);
    return pool === undefined ? undefined : doors.gates.get(pool);
  };
  const traceOf = (request: IncomingMessage, traceparent: string | undefined, gate: Gate): RequestTrace => {
    if (!context.telemetry.enabled) return noTrace;
    return createRequestTrace({
      method: request.method ?? 'GET',
      target: request.url ?? '/',
      pool: gate.pool,
      traceparent,
      startedAtMs: nowMs(),
      latencyObjectiveMs: gate.config.latencyObjectiveMs,
      sampleRatio: settings.traceSampleRatio,
      nowMs,
    });
  };
  const isClosing = () => closing;
  const onOver = (record: AccessRecord) => access?.write(record);
  const refuse = (asked: Asked, refusal: Refusal) => {
    const { request, headers, response } = asked;
    const startedMs = performance.now();
    answerRefusal(response, refusal, closing);
    if (access) onOver(accessRecordOf(request, headers, addressOf(request), { startedMs, ...refusal }));
  };
  const refusedConnections = new WeakSet<Socket>();
  const onRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    if (refusedConnections.has(request.socket)) return;
    const headers = readHeaders(request.rawHeaders);
    const target = request.url ?? '';
    const problem = rules?.refusalOf(target, headers, request.httpVersion);
    if (problem !== undefined) {
      // What was not read to its end would be taken for the next request: the connection ends with the answer, and
      // what is pipelined behind is not served (RFC 9112 9.6).
      if (!isHttp2(response)) refusedConnections.add(request.socket);
      refuse({ request, headers, response }, { status: problem.status, problem });
      return;
    }
    const encrypted = 'encrypted' in request.socket;
    const address = addressOf(request);
    const location = encrypted ? undefined : rules?.redirectOf(target, headers, address);
    const gate = rules && location === undefined ? gateOf(headers.host, target) : undefined;
    if (location !== undefined) refuse({ request, headers, response }, { status: 308, location });
    else if (!gate || !rules) refuse({ request, headers, response }, unrouted(view));
    else {
      carry({
        request,
        headers,
        client: { address, encrypted, rules },
        expectsContinue,
        response,
        gate,
        trace: traceOf(request, headers.traceparent, gate),
        closing: isClosing,
        onEjected: doors.onEjected,
        onOver: access ? onOver : undefined,
      });
    }
  };
  const onUpgrade = async (request: FastifyRequest, reply: FastifyReply) => {
    const { raw } = request;
    const { rawHeaders, url = '/', httpVersion, socket } = raw;
    const asked = { request: raw, headers: readHeaders(rawHeaders), response: reply.raw };
    const problem = rules?.refusalOf(url, asked.headers, httpVersion);
    const encrypted = 'encrypted' in socket;
    const location = encrypted ? undefined : rules?.redirectOf(url, asked.headers, addressOf(raw));
    const gate = gateOf(asked.headers.host, url);
    if (problem || location || !gate) {
      reply.hijack();
      if (problem) refuse(asked, { status: problem.status, problem });
      else refuse(asked, location ? { status: 308, location } : unrouted(view));
      return;
    }
    const startedMs = performance.now();
    const upstream = await serverFor(gate, socket).catch((error: Error) => error);
    if (upstream instanceof Error) {
      reply.hijack();
      if (upstream instanceof ProblemError) {
        const { problem, retryAfterSeconds } = upstream;
        gate.meter.rejected += 1;
        refuse(asked, { status: problem.status, problem, retryAfterSeconds });
      }
      return;
    }
    request.nemuriUpstream = upstream;
    // An open connection counts as in flight for as long as it is open.
    if (socket.destroyed) {
      gate.release(upstream);
      return;
    }
    upgraded.add(upstream.name, socket);
    const client = addressOf(raw);
    socket.once('close', () => {
      gate.release(upstream);
      const outcome = { startedMs, status: 101, pool: gate.pool, server: upstream.name, attempts: 1 };
      if (access) onOver(accessRecordOf(raw, asked.headers, client, outcome));
    });
  };

  listener = await listen({
    host: settings.host,
    port: settings.port,
    tls: settings.tls,
    onProblem,
    onRequest,
    onUpgrade,
  });

  if (view.fleet.config) listener.configure(roomy(view.fleet.config.proxy));

  return {
    fleet: () => view.fleet,
    metrics: () => proxySamples(context.settings.name, doors.gates.values(), listener?.refused ?? 0),
    // Without the bus it goes on serving from memory: only a proxy that knows no servers is not ready.
    notReady: () => (view.fleet.config ? undefined : fleetReadiness(view.fleet, bus)),
    async stop() {
      closing = true;
      await listener?.drain(context.settings.stopTimeoutMs - stopReserveMs);
      await doors.sayGoodBye();
      doors.close();
      await listener?.close();
      await access?.close();
      await view.close();
    },
  };
}

interface Asked {
  readonly request: IncomingMessage;
  readonly headers: RequestHeaders;
  readonly response: ServerResponse;
}

/**
 * A server for a connection that will last.
 * @throws ProblemError when there is none and no place to wait; Error when the client goes away.
 */
async function serverFor(gate: Gate, socket: Socket): Promise<Upstream> {
  const abort = new AbortController();
  socket.once('close', () => abort.abort(new Error('the client has gone')));
  gate.meter.arrivals += 1;
  return gate.take() ?? gate.park({ bytes: 0, signal: abort.signal });
}

/** An answer that no server gives. */
interface Refusal {
  readonly status: number;
  readonly problem?: Problem;
  readonly location?: string;
  readonly retryAfterSeconds?: number | undefined;
}

function unrouted({ fleet }: FleetView): Refusal {
  if (fleet.config) {
    return { status: 404, problem: problemOf('NEMURI_NO_ROUTE', 'Check the Host header and the path.') };
  }
  return { status: 503, problem: problemOf('NEMURI_NOT_CONFIGURED', 'Try again.'), retryAfterSeconds: 2 };
}

function answerRefusal(response: ServerResponse, refusal: Refusal, closing: boolean): void {
  const { status, problem, location, retryAfterSeconds } = refusal;
  if (problem) sendProblem(response, problem, retryAfterSeconds, closing || status === 400 || status === 421);
  else {
    const last = isEarly(response) ? { connection: 'close' } : {};
    response.writeHead(status, { location, 'content-length': 0, ...last }).end();
  }
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? 'unknown';
}
