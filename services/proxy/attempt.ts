import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProblemError } from '../../libs/runtime/errors.ts';
import { endStream, fieldsOf, isGone, startAnswer, tellEarly } from './clientResponse.ts';
import { writeCopy } from './copies.ts';
import { flushLater } from './flushLater.ts';
import type { Upstream } from './gate.ts';
import type { Call, FailedAt, UpstreamHandler, UpstreamRequest } from './upstream/connection.ts';
import type { ResponseHead } from './upstream/responseHead.ts';
import { writeSoon } from './writeSoon.ts';

export type AttemptOutcome =
  /** The whole answer has come from the server. */
  | { readonly kind: 'answered'; readonly status: number }
  /** No connection came about: the server never saw the request. */
  | { readonly kind: 'notSent'; readonly error: Error }
  /** The connection broke before the first byte of an answer: it may have seen the request. */
  | { readonly kind: 'noAnswer'; readonly error: Error }
  | { readonly kind: 'timedOut'; readonly error: Error }
  /** The answer had begun: the client's connection was cut, so that it can't take a part for the whole. */
  | { readonly kind: 'brokenOff'; readonly error: Error }
  /** The client sent what this pool does not take, and is told so. */
  | { readonly kind: 'refused'; readonly error: ProblemError }
  | { readonly kind: 'clientGone' };

export interface AttemptOptions {
  readonly request: UpstreamRequest;
  /** What the client asked. */
  readonly asked: IncomingMessage;
  readonly response: ServerResponse;
  readonly upstream: Upstream;
  /** The proxy is stopping: the client is asked to connect anew for its next request. */
  readonly closing: () => boolean;
  /** A client that takes nothing for this long is cut off. */
  readonly readTimeoutMs: number;
  /** Added to the answer. */
  readonly setCookie: string | undefined;
  /** Counts what came of the answer's body. */
  readonly progress: { responseBytes: number };
  readonly onFirstByte: () => void;
  readonly onOutcome: (outcome: AttemptOutcome) => void;
}

/** Up to here a body is cheaper to copy as text, with the head in one write, than as a buffer of its own. */
const textBytes = 16 * 1024;

/** Sends the request to one server and its answer to the client, with back-pressure in both directions. */
export function attempt(options: AttemptOptions): void {
  const { response, upstream, onOutcome } = options;
  if (isGone(response)) {
    onOutcome({ kind: 'clientGone' });
    return;
  }
  let status = 0;
  let blocked = false;
  /** The end is written, or will be in this round. */
  let ended = false;
  /** Something of the answer is on its way to the client. */
  let flushed = false;
  let flushing = false;
  /** Closes an answer that lasts, when its server goes to sleep. */
  let close: (() => void) | undefined;

  const onClose = () => {
    call.connection?.abort(call);
    settle({ kind: 'clientGone' });
  };
  const onDrain = () => {
    blocked = false;
    call.connection?.resume();
  };
  const write = (copy: Buffer, done: (error?: unknown) => void) => {
    if (response.write(copy, done) || blocked) return;
    blocked = true;
    boundReading(response, options.readTimeoutMs);
    call.connection?.pause();
    response.once('drain', onDrain);
  };
  const settle = (outcome: AttemptOutcome) => {
    response.off('close', onClose);
    if (blocked) response.off('drain', onDrain);
    if (close) upstream.streams.delete(close);
    onOutcome(outcome);
  };
  const flush = () => {
    if (!flushed && !isGone(response)) response.flushHeaders();
    flushed = true;
  };
  const handler: UpstreamHandler = {
    onInformational: (head) => tellEarly(options.asked, response, head),
    onHead(head) {
      status = head.status;
      options.onFirstByte();
      ended = startAnswer(response, head, options.closing(), options.setCookie);
      const kind = head.framing.kind === 'length' ? undefined : lastingKind(head);
      if (kind) {
        close = () => {
          call.connection?.abort(call);
          endStream(response, kind === 'grpc');
          settle({ kind: 'answered', status });
        };
        upstream.streams.add(close);
      }
    },
    onQuiet() {
      if (flushed || flushing || status === 0) return;
      flushing = true;
      flushLater(flush);
    },
    onBodySent(bytes) {
      upstream.meter.totals.requestBytes += bytes;
    },
    onData(chunk, last) {
      upstream.meter.totals.responseBytes += chunk.length;
      options.progress.responseBytes += chunk.length;
      flushed = true;
      if (isGone(response)) return;
      if (last && chunk.length <= textBytes) {
        const text = chunk.toString('latin1');
        ended = true;
        writeSoon(() => {
          if (!isGone(response)) response.end(text, 'latin1');
        });
        return;
      }
      writeCopy(chunk, write);
    },
    onEnd(trailers) {
      flushed = true;
      if (!ended && !isGone(response)) {
        if (trailers.length > 0) response.addTrailers(fieldsOf(trailers));
        response.end();
      }
      settle({ kind: 'answered', status });
    },
    onError(error, at) {
      settle(outcomeOf(error, at, status > 0, response));
    },
  };
  response.on('close', onClose);
  const call: Call = upstream.connections.send(options.request, handler);
}

/** An answer that may stay open for as long as its client likes. */
function lastingKind({ headers }: ResponseHead): 'events' | 'grpc' | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() !== 'content-type') continue;
    const type = headers[index + 1]?.toLowerCase() ?? '';
    if (type.startsWith('text/event-stream')) return 'events';
    return type.startsWith('application/grpc') ? 'grpc' : undefined;
  }
  return undefined;
}

function outcomeOf(error: Error, at: FailedAt, begun: boolean, response: ServerResponse): AttemptOutcome {
  if (isGone(response)) return { kind: 'clientGone' };
  if (begun) {
    response.destroy(error);
    // What its client did wrong, or left undone, is no failure of the server.
    return error instanceof ProblemError ? { kind: 'clientGone' } : { kind: 'brokenOff', error };
  }
  if (error instanceof ProblemError) return { kind: 'refused', error };
  if (at === 'connect') return { kind: 'notSent', error };
  return { kind: at === 'timeout' ? 'timedOut' : 'noAnswer', error };
}

/** A client that takes nothing for too long is cut off, also when its server has long finished. */
function boundReading(response: ServerResponse, timeoutMs: number): void {
  const timer = setTimeout(() => response.destroy(), timeoutMs);
  const settle = () => {
    clearTimeout(timer);
    response.off('drain', settle);
    response.off('close', settle);
  };
  response.on('drain', settle);
  response.on('close', settle);
}
