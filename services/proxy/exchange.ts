import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf, type Problem, ProblemError } from '../../libs/runtime/errors.ts';
import { type AttemptOutcome, attempt } from './attempt.ts';
import { type RequestBody, readBody } from './body.ts';
import type { Gate, Upstream } from './gate.ts';
import { countEnd } from './load.ts';
import type { RequestTrace } from './requestTrace.ts';

/** RFC 9110 9.2.2: what may be sent twice without harm. */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'PROPFIND']);

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly gate: Gate;
  readonly trace: RequestTrace;
  readonly closing: () => boolean;
  /** A connection to this server failed until then: others shall know. */
  readonly onEjected: (upstream: Upstream, untilMs: number, reason: string) => void;
}

/** What became of the request, for measurement and logs. `status` 499: the client went away (nginx's number). */
interface Ending {
  readonly status: number;
  readonly error?: string;
}

/**
 * Carries one request to a server of the pool and its answer back. It is parked while no server can take it, and
 * goes to another server when one fails before it has answered: always when the request was never sent, otherwise
 * when it can be sent twice without harm. Never rejects.
 */
export async function carry(exchange: Exchange): Promise<void> {
  const { gate, response, trace } = exchange;
  const startedMs = performance.now();
  gate.meter.arrivals += 1;
  const abort = new AbortController();
  const onClose = () => abort.abort(new Error('the client has gone'));
  response.once('close', onClose);
  let ending: Ending;
  try {
    ending = await run(exchange, abort.signal, startedMs);
  } catch (error) {
    ending = abort.signal.aborted ? { status: 499 } : refuse(exchange, error);
  }
  response.off('close', onClose);
  if (ending.status !== 499) countEnd(gate.meter, performance.now() - startedMs, ending.status >= 500);
  trace.end(ending.status, ending.error);
}

async function run(exchange: Exchange, signal: AbortSignal, startedMs: number): Promise<Ending> {
  const { request, gate } = exchange;
  const { forwarding } = gate.config;
  const body = await readBody(request, forwarding);
  let sent = 0;
  for (;;) {
    const upstream = await acquire(exchange, body, signal, performance.now() - startedMs);
    const attemptStartedMs = performance.now();
    const outcome = await tryOnce(exchange, upstream, body);
    const latencyMs = performance.now() - attemptStartedMs;
    if (outcome.kind === 'answered') countEnd(upstream.meter, latencyMs, outcome.status >= 500);
    else if (outcome.kind !== 'clientGone') countEnd(upstream.meter, latencyMs, true);
    gate.release(upstream);
    if (outcome.kind === 'answered') return { status: outcome.status };
    if (outcome.kind === 'clientGone') return { status: 499 };
    if (outcome.kind === 'brokenOff') return { status: 502, error: messageOf(outcome.error) };
    exchange.trace.keep();
    exchange.trace.event('attempt failed', {
      'nemuri.server': upstream.name,
      error: messageOf(outcome.error),
    });
    if (outcome.kind !== 'notSent') sent += 1;
    if (!mayRetry(outcome, body, request.method) || sent >= forwarding.maxAttempts) throw failureOf(outcome);
  }
}

async function acquire(
  { gate, trace }: Exchange,
  body: RequestBody,
  signal: AbortSignal,
  waitedMs: number,
): Promise<Upstream> {
  const taken = gate.acquire(
    {
      bytes: body.bytesHeld,
      signal,
      waitedMs,
      get traceparent() {
        return trace.traceparent;
      },
    },
    () => {
      trace.keep();
      trace.event('parked');
    },
  );
  if (!(taken instanceof Promise)) return taken;
  const upstream = await taken;
  trace.event('released', { 'nemuri.server': upstream.name });
  return upstream;
}

async function tryOnce(exchange: Exchange, upstream: Upstream, body: RequestBody): Promise<AttemptOutcome> {
  const { request, response, gate, trace, closing } = exchange;
  const outcome = await attempt({
    request,
    response,
    upstream,
    body,
    closing,
    traceparent: trace.traceparent,
    onFirstByte: () => trace.event('first byte', { 'nemuri.server': upstream.name }),
  });
  if (outcome.kind === 'notSent') {
    const untilMs = gate.eject(upstream);
    if (untilMs !== undefined) exchange.onEjected(upstream, untilMs, messageOf(outcome.error));
  }
  return outcome;
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

function refuse({ response, gate, closing }: Exchange, error: unknown): Ending {
  const failure =
    error instanceof ProblemError
      ? error
      : new ProblemError('NEMURI_UPSTREAM_FAILED', 'The request could not be carried to a server.');
  if (failure.problem.status === 503) gate.meter.rejected += 1;
  sendProblem(response, failure.problem, failure.retryAfterSeconds, closing());
  return { status: failure.problem.status, error: messageOf(error) };
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
    ...(closing || problem.status === 413 ? { connection: 'close' } : {}),
  });
  response.end(JSON.stringify(problem));
}
