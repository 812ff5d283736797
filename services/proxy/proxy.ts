import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { serversOfPool } from '../../libs/domain/mod.ts';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { messageOf, type Problem, problemOf } from '../../libs/runtime/errors.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../../libs/runtime/service.ts';
import { type AccessLog, type AccessRecord, openAccessLog } from './accessLog.ts';
import { accessRecordOf } from './accessRecord.ts';
import { isHttp2 } from './clientResponse.ts';
import { followDrains, isDraining } from './drains.ts';
import { carry } from './exchange.ts';
import { createGate, type Gate, type Upstream } from './gate.ts';
import { type RequestHeaders, readHeaders } from './headers.ts';
import { type Listener, listen } from './listen.ts';
import { takeSample } from './load.ts';
import { renderMetrics } from './metrics.ts';
import { type ClientRules, compileClientRules } from './refusals.ts';
import { createRequestTrace, noTrace, type RequestTrace } from './requestTrace.ts';
import { compileRoutes, type RouteTable } from './routes.ts';
import { sendProblem } from './sendProblem.ts';
import type { TlsSettings } from './tls.ts';
import { createUpgraded } from './upgraded.ts';
import { watchVitals } from './vitals.ts';

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
const samplePublishTimeoutMs = 2_000;
const ejectionPublishTimeoutMs = 2_000;
const idleSampleIntervalMs = 1_000;
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
  let rules: ClientRules | undefined;
  let listener: Listener | undefined;
  let access: AccessLog | undefined;
  let accessSettings = '';
  let closing = false;

  const inFlightOn = (server: string) => {
    let inFlight = 0;
    for (const gate of gates.values()) {
      for (const upstream of gate.upstreams) if (upstream.name === server) inFlight += upstream.inFlight;
    }
    return inFlight;
  };
  const upgraded = createUpgraded();
  const onTimedOut = (server: string) => {
    upgraded.restart(server);
    for (const gate of gates.values()) {
      for (const { name, streams } of gate.upstreams) if (name === server) for (const end of streams) end();
    }
  };
  const drains = followDrains({ view, proxy, log, nowMs, inFlightOn, onTimedOut });
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
  const onProblem = (problem: string, details: object) => log.warn(details, problem);
  const configureAccess = (settings: FleetConfig['proxy']['accessLog']) => {
    const asked = JSON.stringify(settings);
    if (asked === accessSettings) return;
    accessSettings = asked;
    void access?.close();
    access = openAccessLog(settings, onProblem);
  };
  const configure = () => {
    const { config } = view.fleet;
    if (!config) return;
    configureAccess(config.proxy.accessLog);
    route = compileRoutes(config);
    rules = compileClientRules(config.proxy);
    listener?.configure(config.proxy);
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
    const location = encrypted ? undefined : rules?.redirectOf(target, headers, addressOf(request));
    const gate = rules && location === undefined ? gateOf(headers.host, target) : undefined;
    if (location !== undefined) refuse({ request, headers, response }, { status: 308, location });
    else if (!gate || !rules) refuse({ request, headers, response }, unrouted(view));
    else {
      carry({
        request,
        headers,
        client: { address: addressOf(request), encrypted, rules },
        expectsContinue,
        response,
        gate,
        trace: traceOf(request, headers.traceparent, gate),
        closing: isClosing,
        onEjected,
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
    const abort = new AbortController();
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

  if (view.fleet.config) listener.configure(view.fleet.config.proxy);

  const vitals = watchVitals();
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
        parked: gate.parkedCount,
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
    metrics: () => renderMetrics(proxy, gates.values(), vitals),
    // Without the bus it goes on serving from memory: only a proxy that knows no servers is not ready.
    notReady: () => (view.fleet.config ? undefined : fleetReadiness(view.fleet, bus)),
    async stop() {
      closing = true;
      await listener?.drain(context.settings.stopTimeoutMs - stopReserveMs);
      await sampler.stop();
      drains.stop();
      await sample(true).catch((error) => log.debug({ error: messageOf(error) }, 'good-bye not said'));
      for (const gate of gates.values()) gate.close();
      await listener?.close();
      await access?.close();
      await view.close();
      vitals.stop();
    },
  };
}

interface Asked {
  readonly request: IncomingMessage;
  readonly headers: RequestHeaders;
  readonly response: ServerResponse;
}

/** An answer that no server gives. */
interface Refusal {
  readonly status: number;
  readonly problem?: Problem;
  readonly location?: string;
  readonly retryAfterSeconds?: number;
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
  else response.writeHead(status, { location, 'content-length': 0 }).end();
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? 'unknown';
}
