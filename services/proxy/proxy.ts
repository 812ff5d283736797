import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { problemOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { isHttp2 } from './clientResponse.ts';
import { openDoors } from './doors.ts';
import { carry, sendProblem } from './exchange.ts';
import type { Gate } from './gate.ts';
import { type ClientSide, readHeaders } from './headers.ts';
import { type Listener, listen } from './listen.ts';
import { renderMetrics } from './metrics.ts';
import { type ClientRules, compileClientRules } from './refusals.ts';
import { createRequestTrace, noTrace, type RequestTrace } from './requestTrace.ts';
import { compileRoutes, type RouteTable } from './routes.ts';
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
    name: context.settings.name,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  let route: RouteTable = () => undefined;
  let rules: ClientRules | undefined;
  let listener: Listener | undefined;
  let closing = false;

  const upgraded = createUpgraded();
  const doors = openDoors({
    context,
    view,
    onConfigured() {
      const { config } = view.fleet;
      if (!config) return;
      route = compileRoutes(config);
      rules = compileClientRules(config.proxy);
      listener?.configure(config.proxy);
    },
    onTimedOut: upgraded.restart,
  });

  const gateOf = (host: string | undefined, path: string): Gate | undefined => {
    const pool = route(host, path);
    return pool === undefined ? undefined : doors.gates.get(pool);
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
  const isClosing = () => closing;
  const refusedConnections = new WeakSet<Socket>();
  const onRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    if (refusedConnections.has(request.socket)) return;
    const headers = readHeaders(request.rawHeaders);
    const target = request.url ?? '';
    const refusal = rules?.refusalOf(target, headers, request.httpVersion);
    const gate = rules && refusal === undefined ? gateOf(headers.host, target) : undefined;
    if (refusal !== undefined) {
      // What was not read to its end would be taken for the next request: the connection ends with the answer, and
      // what is pipelined behind is not served (RFC 9112 9.6).
      if (!isHttp2(response)) refusedConnections.add(request.socket);
      sendProblem(response, refusal, undefined, true);
    } else if (!gate || !rules) refuseUnrouted(response, view, closing);
    else {
      const trace = traceOf(request, headers.traceparent, gate);
      const client: ClientSide = {
        address: request.socket.remoteAddress ?? 'unknown',
        encrypted: 'encrypted' in request.socket,
        rules,
      };
      carry({
        request,
        headers,
        client,
        expectsContinue,
        response,
        gate,
        trace,
        closing: isClosing,
        onEjected: doors.onEjected,
      });
    }
  };

  listener = await listen({
    host: settings.host,
    port: settings.port,
    tls: settings.tls,
    onProblem: (problem, details) => log.warn(details, problem),
    onRequest,
    async onUpgrade(request, reply) {
      const { rawHeaders, url = '', httpVersion } = request.raw;
      const refusal = rules?.refusalOf(url, readHeaders(rawHeaders), httpVersion);
      if (refusal) {
        sendProblem(reply.hijack().raw, refusal, undefined, true);
        return;
      }
      const gate = gateOf(request.headers.host, request.raw.url ?? '/');
      if (!gate) return refuseUnrouted(reply.hijack().raw, view, closing);
      const abort = new AbortController();
      const { socket } = request.raw;
      socket.once('close', () => abort.abort(new Error('the client has gone')));
      gate.meter.arrivals += 1;
      const upstream = gate.take() ?? (await gate.park({ bytes: 0, signal: abort.signal }));
      request.nemuriUpstream = upstream;
      // An open connection counts as in flight for as long as it is open.
      if (socket.destroyed) {
        gate.release(upstream);
        return;
      }
      upgraded.add(upstream.name, socket);
      socket.once('close', () => gate.release(upstream));
    },
  });

  if (view.fleet.config) listener.configure(view.fleet.config.proxy);

  return {
    fleet: () => view.fleet,
    metrics: () => renderMetrics(context.settings.name, doors.gates.values()),
    // Without the bus it goes on serving from memory: only a proxy that knows no servers is not ready.
    notReady: () => (view.fleet.config ? undefined : fleetReadiness(view.fleet, bus)),
    async stop() {
      closing = true;
      await listener?.drain(context.settings.stopTimeoutMs - stopReserveMs);
      await doors.sayGoodBye();
      doors.close();
      await listener?.close();
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
