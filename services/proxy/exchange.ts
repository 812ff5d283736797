import type { IncomingMessage, ServerResponse } from 'node:http';
import { classOf } from '../../libs/domain/mod.ts';
import { messageOf, type Problem, ProblemError, problemOf } from '../../libs/runtime/errors.ts';
import { type AttemptOutcome, attempt } from './attempt.ts';
import { noBody, type RequestBody, readBody } from './body.ts';
import { announcesBody, isGone, isHttp2 } from './clientResponse.ts';
import type { Gate, Upstream } from './gate.ts';
import { hashOfRequest } from './hashKey.ts';
import { type ClientSide, type RequestHeaders, requestHead } from './headers.ts';
import { countEnd } from './load.ts';
import type { RequestTrace } from './requestTrace.ts';
import { reloadSeconds, waitingPage } from './waitingPage.ts';

/** A person who waits may be a little late. */
const returnPatience = 2;
const asleepRetrySeconds = 60;

/** RFC 9110 9.2.2: what may be sent twice without harm. */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'PROPFIND']);

export interface Exchange {
  readonly request: IncomingMessage;
  readonly headers: RequestHeaders;
  readonly client: ClientSide;
  /** The client waits for a word (100) before it sends the body. */
  readonly expectsContinue: boolean;
  readonly response: ServerResponse;
  readonly gate: Gate;
  readonly trace: RequestTrace;
  readonly closing: () => boolean;
  /** A connection to this server failed until then: others shall know. */
  readonly onEjected: (gate: Gate, upstream: Upstream, untilMs: number, reason: string) => void;
}

/** An exchange under way. */
interface Running extends Exchange {
  readonly startedMs: number;
  body: RequestBody;
  /** Attempts that a server may have seen. */
  sent: number;
}

/**
 * Carries one request to a server of the pool and its answer back. It is parked while no server can take it, and
 * goes to another server when one fails before it has answered: always when the request was never sent, otherwise
 * when it can be sent twice without harm. The common case runs to the server without a promise or a timer.
 */
export function carry(exchange: Exchange): void {
  const { request, headers, gate } = exchange;
  const running: Running = { ...exchange, startedMs: performance.now(), body: noBody, sent: 0 };
  gate.meter.arrivals += 1;
  if (!announcesBody(request, headers)) {
    next(running);
    return;
  }
  const { maxBodyBytes } = gate.config.forwarding;
  if (exchange.expectsContinue && (headers.contentLength ?? 0) <= maxBodyBytes)
    exchange.response.writeContinue();
  readBody(request, headers.contentLength, gate.config.forwarding).then(
    (body) => {
      running.body = body;
      next(running);
    },
    (error) => fail(running, error),
  );
}

/** One more attempt, with the next server that can take it. */
function next(running: Running): void {
  const upstream = running.gate.take(keyHashOf(running));
  if (upstream) {
    tryOn(running, upstream);
    return;
  }
  if (running.gate.asleep && answerAsleep(running)) return;
  park(running).then(
    (released) => tryOn(running, released),
    (error) => fail(running, error),
  );
}

function keyHashOf({ request, gate }: Running): number | undefined {
  const { policy, hashBy, hashName } = gate.config.balancing;
  return policy === 'hash' ? hashOfRequest(request, hashBy, hashName) : undefined;
}

/** Before a sleeping pool a monitor is refused, and a browser may get a page that waits. @returns whether it was. */
function answerAsleep(running: Running): boolean {
  const { request, response, gate, headers, trace, closing } = running;
  const { parking } = gate.config;
  const { userAgent, accept } = headers;
  const asked = { method: request.method ?? 'GET', target: request.url ?? '/', userAgent, accept };
  const kind = classOf(asked, parking.monitors);
  if (kind === 'monitor') {
    // It is no demand: nothing may wake for it.
    gate.meter.arrivals -= 1;
    const problem = problemOf('NEMURI_ASLEEP', 'Ask again when it is awake.');
    sendProblem(response, problem, asleepRetrySeconds, closing());
    trace.end(503);
    return true;
  }
  if (kind !== 'browser' || !parking.waitingPage) return false;
  const readyInMs = gate.readyInMs();
  const seconds = reloadSeconds(readyInMs);
  gate.expectReturn(returnPatience * seconds * 1_000);
  response.writeHead(503, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'retry-after': String(seconds),
  });
  response.end(waitingPage(readyInMs));
  trace.end(503);
  return true;
}

async function park({ gate, trace, response, body, startedMs }: Running): Promise<Upstream> {
  trace.keep();
  trace.event('parked');
  const abort = new AbortController();
  const onClose = () => abort.abort(new Error('the client has gone'));
  if (isGone(response)) onClose();
  response.once('close', onClose);
  try {
    const upstream = await gate.park({
      bytes: body.bytesHeld,
      signal: abort.signal,
      waitedMs: performance.now() - startedMs,
      traceparent: trace.traceparent,
    });
    trace.event('released', { 'nemuri.server': upstream.name });
    return upstream;
  } finally {
    response.off('close', onClose);
  }
}

function tryOn(running: Running, upstream: Upstream): void {
  const { request, headers, client, response, trace, closing, body } = running;
  const attemptStartedMs = performance.now();
  const method = request.method ?? 'GET';
  attempt({
    request: {
      method,
      head: requestHead(request, headers, client, framingOf(running), trace.traceparent),
      body,
      chunked: isChunked(running),
      idempotent: idempotentMethods.has(method),
    },
    response,
    upstream,
    closing,
    readTimeoutMs: running.gate.config.forwarding.idleTimeoutMs,
    onFirstByte: () => trace.event('first byte', { 'nemuri.server': upstream.name }),
    onOutcome: (outcome) => onOutcome(running, upstream, outcome, performance.now() - attemptStartedMs),
  });
}

/** Trailers need chunks, and so does a stream whose length nobody announced. */
function isChunked({ body, headers }: Running): boolean {
  if (body.content === null) return false;
  if (Buffer.isBuffer(body.content)) return body.trailers() !== '';
  return headers.contentLength === undefined;
}

function framingOf(running: Running): string {
  const { body, headers } = running;
  if (body.content === null) return headers.contentLength === 0 ? 'content-length: 0\r\n' : '';
  if (isChunked(running)) return 'transfer-encoding: chunked\r\n';
  const bytes = Buffer.isBuffer(body.content) ? body.content.length : headers.contentLength;
  return `content-length: ${bytes}\r\n`;
}

function onOutcome(running: Running, upstream: Upstream, outcome: AttemptOutcome, latencyMs: number): void {
  const { gate } = running;
  if (outcome.kind === 'answered') {
    gate.learn(upstream, latencyMs);
    countEnd(upstream.meter, latencyMs, outcome.status >= 500);
  } else if (outcome.kind !== 'clientGone' && outcome.kind !== 'refused') {
    upstream.meter.totals.errors[outcome.kind] += 1;
    countEnd(upstream.meter, latencyMs, true);
  }
  if (outcome.kind === 'notSent') {
    const untilMs = gate.eject(upstream);
    if (untilMs !== undefined) running.onEjected(gate, upstream, untilMs, messageOf(outcome.error));
  }
  gate.release(upstream);
  switch (outcome.kind) {
    case 'answered':
      end(running, outcome.status);
      break;
    case 'clientGone':
      end(running, 499);
      break;
    case 'brokenOff':
      end(running, 502, messageOf(outcome.error));
      break;
    case 'refused':
      fail(running, outcome.error);
      break;
    default:
      onFailure(running, upstream, outcome);
  }
}

/** The attempt failed before an answer began: it may be made again. */
function onFailure(
  running: Running,
  upstream: Upstream,
  outcome: Extract<AttemptOutcome, { kind: 'notSent' | 'noAnswer' | 'timedOut' }>,
): void {
  const { gate, request, trace } = running;
  trace.keep();
  trace.event('attempt failed', { 'nemuri.server': upstream.name, error: messageOf(outcome.error) });
  if (outcome.kind !== 'notSent') running.sent += 1;
  const { maxAttempts } = gate.config.forwarding;
  const may = mayRetry(outcome, running.body, request.method) && running.sent < maxAttempts;
  if (may && (outcome.kind === 'notSent' || gate.mayRetry())) next(running);
  else fail(running, failureOf(outcome));
}

/** @param status 499: the client went away (nginx's number). */
function end({ gate, trace, startedMs }: Running, status: number, error?: string): void {
  if (status !== 499) countEnd(gate.meter, performance.now() - startedMs, status >= 500);
  trace.end(status, error);
}

function fail(running: Running, error: unknown): void {
  const { response, gate, closing } = running;
  if (isGone(response)) {
    end(running, 499);
    return;
  }
  const failure =
    error instanceof ProblemError
      ? error
      : new ProblemError('NEMURI_UPSTREAM_FAILED', 'The request could not be carried to a server.');
  if (failure.problem.status === 503) gate.meter.rejected += 1;
  sendProblem(response, failure.problem, failure.retryAfterSeconds, closing());
  end(running, failure.problem.status, messageOf(error));
}

function mayRetry(outcome: AttemptOutcome, body: RequestBody, method: string | undefined): boolean {
  if (!body.replayable) return false;
  return outcome.kind === 'notSent' || idempotentMethods.has(method ?? '');
}

function failureOf({ kind }: AttemptOutcome): ProblemError {
  return kind === 'timedOut'
    ? new ProblemError('NEMURI_UPSTREAM_TIMEOUT', 'The request may or may not have been carried out.')
    : new ProblemError('NEMURI_UPSTREAM_FAILED', 'The connection to the server broke before it answered.');
}

/** Answers with a problem document, or cuts the connection when an answer has begun already. */
export function sendProblem(
  response: ServerResponse,
  problem: Problem,
  retryAfterSeconds: number | undefined,
  closing: boolean,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    // A body that was not read to its end would be taken for the next request.
    ...((closing || problem.status === 413) && !isHttp2(response) ? { connection: 'close' } : {}),
  });
  response.end(JSON.stringify(problem));
}
