import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf, ProblemError } from '../../libs/runtime/errors.ts';
import type { AccessRecord } from './accessLog.ts';
import { accessRecordOf } from './accessRecord.ts';
import { answerAsleep } from './answerAsleep.ts';
import { type AttemptOutcome, attempt } from './attempt.ts';
import { noBody, type RequestBody, readBody } from './body.ts';
import { announcesBody, boundSilence, endBodyWithAnswer, isGone } from './clientResponse.ts';
import type { EjectionCase } from './ejection.ts';
import type { Gate, Upstream } from './gate.ts';
import { hashOfRequest } from './hashKey.ts';
import { type ClientSide, type RequestHeaders, requestHead } from './headers.ts';
import { countEnd } from './load.ts';
import type { RequestTrace } from './requestTrace.ts';
import { sendProblem } from './sendProblem.ts';
import { stickyCookie, stickyHash } from './sticky.ts';

/** What a server says that can't serve now, or a proxy before it. */
const gatewayFailures = new Set([502, 503, 504]);

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
  /** The request is over; undefined: nobody logs. */
  readonly onOver: ((record: AccessRecord) => void) | undefined;
}

/** An exchange under way. */
interface Running extends Exchange {
  readonly startedMs: number;
  body: RequestBody;
  /** Attempts that a server may have seen. */
  sent: number;
  attempts: number;
  responseBytes: number;
  server: string | undefined;
  /** The server that the client's cookie names. */
  sticky: number | undefined;
  /** One of the pool's retries under way. */
  isRetry: boolean;
}

/**
 * Carries one request to a server of the pool and its answer back. It is parked while no server can take it, and
 * goes to another server when one fails before it has answered: always when the request was never sent, otherwise
 * when it can be sent twice without harm. The common case runs to the server without a promise or a timer.
 */
export function carry(exchange: Exchange): void {
  const { request, headers, gate } = exchange;
  // Written out: a spread and then more fields costs several microseconds.
  const running: Running = {
    request,
    headers,
    client: exchange.client,
    expectsContinue: exchange.expectsContinue,
    response: exchange.response,
    gate,
    trace: exchange.trace,
    closing: exchange.closing,
    onEjected: exchange.onEjected,
    onOver: exchange.onOver,
    startedMs: performance.now(),
    body: noBody,
    sent: 0,
    attempts: 0,
    responseBytes: 0,
    server: undefined,
    sticky: undefined,
    isRetry: false,
  };
  gate.meter.arrivals += 1;
  const { sticky } = gate.config.balancing;
  if (sticky.cookie !== '') running.sticky = stickyHash(request.headers.cookie, sticky);
  if (!announcesBody(request, headers)) {
    next(running);
    return;
  }
  const { maxBodyBytes } = gate.config.forwarding;
  if (exchange.expectsContinue && (headers.contentLength ?? 0) <= maxBodyBytes)
    exchange.response.writeContinue();
  endBodyWithAnswer(request);
  const bodyCame = boundSilence(request, gate.config.forwarding.idleTimeoutMs);
  readBody(request, headers.contentLength, gate.config.forwarding).then(
    (body) => {
      bodyCame();
      running.body = body;
      next(running);
    },
    (error) => fail(running, error),
  );
}

/** One more attempt, with the next server that can take it. */
function next(running: Running): void {
  const upstream = running.gate.take(keyHashOf(running), running.sticky);
  if (upstream) {
    tryOn(running, upstream);
    return;
  }
  if (running.gate.asleep && answerAsleep(running)) {
    over(running, 503);
    return;
  }
  park(running).then(
    (released) => tryOn(running, released),
    (error) => fail(running, error),
  );
}

function keyHashOf({ request, gate }: Running): number | undefined {
  const { policy, hashBy, hashName } = gate.config.balancing;
  return policy === 'hash' ? hashOfRequest(request, hashBy, hashName) : undefined;
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
  running.attempts += 1;
  running.server = upstream.name;
  attempt({
    request: {
      method,
      head: requestHead(request, headers, client, framingOf(running), trace.traceparent),
      body,
      chunked: isChunked(running),
      idempotent: idempotentMethods.has(method),
    },
    asked: request,
    response,
    upstream,
    closing,
    setCookie: cookieFor(running, upstream),
    progress: running,
    readTimeoutMs: running.gate.config.forwarding.idleTimeoutMs,
    onFirstByte() {
      upstream.answeredAtMs = performance.now();
      trace.event('first byte', { 'nemuri.server': upstream.name });
    },
    onOutcome: (outcome) => onOutcome(running, upstream, outcome, performance.now() - attemptStartedMs),
  });
}

/** A client whose server takes no requests any more moves; one whose server is only full comes back to it. */
function cookieFor({ gate, sticky, client }: Running, upstream: Upstream): string | undefined {
  const settings = gate.config.balancing.sticky;
  if (settings.cookie === '' || sticky === upstream.nameHash) return undefined;
  if (sticky !== undefined && gate.isOpen(sticky)) return undefined;
  return stickyCookie(upstream.nameHash, client.encrypted, settings);
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
    if (gatewayFailures.has(outcome.status)) eject(running, upstream, 'failing', `status ${outcome.status}`);
    else upstream.failures = 0;
  } else if (outcome.kind !== 'clientGone' && outcome.kind !== 'refused') {
    upstream.meter.totals.errors[outcome.kind] += 1;
    countEnd(upstream.meter, latencyMs, true);
    eject(running, upstream, whyEject(outcome.kind, upstream, latencyMs), messageOf(outcome.error));
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

/**
 * One slow page must not cost a server its place; but one that began no answer at all since it was given the request
 * that ran out of time is hung, and each further request would wait as long.
 */
function whyEject(kind: AttemptOutcome['kind'], upstream: Upstream, latencyMs: number): EjectionCase['why'] {
  if (kind === 'notSent') return 'unreachable';
  const isSilent = kind === 'timedOut' && upstream.answeredAtMs < performance.now() - latencyMs;
  return isSilent ? 'silent' : 'failing';
}

function eject(running: Running, upstream: Upstream, why: EjectionCase['why'], reason: string): void {
  const untilMs = running.gate.eject(upstream, why);
  if (untilMs !== undefined) running.onEjected(running.gate, upstream, untilMs, reason);
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
  if (may && (outcome.kind === 'notSent' || beginRetry(running))) next(running);
  else fail(running, failureOf(outcome));
}

function beginRetry(running: Running): boolean {
  if (!running.gate.beginRetry(running.isRetry)) return false;
  running.isRetry = true;
  return true;
}

/** @param status 499: the client went away (nginx's number). */
function end(running: Running, status: number, error?: string): void {
  const { gate, startedMs } = running;
  if (status !== 499) countEnd(gate.meter, performance.now() - startedMs, status >= 500);
  if (running.isRetry) gate.endRetry();
  over(running, status, error);
}

function over(running: Running, status: number, error?: string): void {
  const { trace, onOver, request, headers, client, gate } = running;
  trace.end(status, error);
  if (!onOver) return;
  const { startedMs, responseBytes, server, attempts } = running;
  const { traceparent } = trace;
  const outcome = { startedMs, status, responseBytes, pool: gate.pool, server, attempts, traceparent };
  onOver(accessRecordOf(request, headers, client.address, outcome));
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
