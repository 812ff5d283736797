import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { RequestBody } from './body.ts';
import type { Upstream } from './gate.ts';
import { requestHeaders, responseHeaders } from './headers.ts';

export type AttemptOutcome =
  /** The whole answer went to the client. */
  | { readonly kind: 'answered'; readonly status: number }
  /** No connection came about: the server never saw the request. */
  | { readonly kind: 'notSent'; readonly error: Error }
  /** The connection broke before the first byte of an answer: it may have seen the request. */
  | { readonly kind: 'noAnswer'; readonly error: Error }
  | { readonly kind: 'timedOut'; readonly error: Error }
  /** The answer had begun: the client's connection was cut, so that it can't take a part for the whole. */
  | { readonly kind: 'brokenOff'; readonly error: Error }
  | { readonly kind: 'clientGone' };

export interface AttemptOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly upstream: Upstream;
  readonly body: RequestBody;
  readonly traceparent: string | undefined;
  /** The proxy is stopping: the client is asked to connect anew for its next request. */
  readonly closing: () => boolean;
  readonly onFirstByte: () => void;
}

const connectCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
]);

class ClientGoneError extends Error {}

/** Sends the request to one server and its answer to the client, with back-pressure in both directions. Never rejects. */
export function attempt(options: AttemptOptions): Promise<AttemptOutcome> {
  const { request, response, upstream, body } = options;
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | undefined;
    let status = 0;
    let drained = false;
    const onClose = () => {
      if (response.writableFinished) return;
      controller?.abort(new ClientGoneError('the client has gone'));
    };
    const onDrain = () => controller?.resume();
    const settle = (outcome: AttemptOutcome) => {
      response.off('close', onClose);
      response.off('drain', onDrain);
      resolve(outcome);
    };
    if (response.destroyed) return settle({ kind: 'clientGone' });
    response.on('close', onClose);
    response.on('drain', onDrain);

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(started) {
        controller = started;
      },
      onResponseStart(current, statusCode, _headers, statusMessage) {
        if (statusCode < 200) return;
        status = statusCode;
        options.onFirstByte();
        const raw = (current.rawHeaders ?? []) as (Buffer | string)[];
        response.writeHead(statusCode, statusMessage ?? '', responseHeaders(raw, options.closing()));
      },
      onResponseData(current, chunk) {
        if (!response.write(chunk)) current.pause();
      },
      onResponseEnd(_current, trailers) {
        drained = true;
        if (Object.keys(trailers).length > 0) response.addTrailers(trailers as Record<string, string>);
        response.end(() => settle({ kind: 'answered', status }));
        // A client that went away in the last moment never confirms the end.
        if (response.destroyed) settle({ kind: 'clientGone' });
        else response.once('close', () => settle({ kind: 'answered', status }));
      },
      onResponseError(_current, error) {
        if (drained) return;
        settle(outcomeOf(error, response, status > 0));
      },
    };
    upstream.connections.dispatch(
      {
        path: request.url ?? '/',
        method: request.method as Dispatcher.HttpMethod,
        headers: requestHeaders(request, options.traceparent),
        body: body.content,
        responseHeaders: 'raw',
      } as Dispatcher.DispatchOptions,
      handler,
    );
  });
}

function outcomeOf(error: Error, response: ServerResponse, begun: boolean): AttemptOutcome {
  if (error instanceof ClientGoneError || response.destroyed) return { kind: 'clientGone' };
  if (begun) {
    response.destroy(error);
    return { kind: 'brokenOff', error };
  }
  const code = 'code' in error ? String(error.code) : '';
  if (connectCodes.has(code) || connectFailed(error)) return { kind: 'notSent', error };
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return { kind: 'timedOut', error };
  return { kind: 'noAnswer', error };
}

/** Node reports a host with several addresses, none of which answered, as one AggregateError without a code. */
function connectFailed(error: Error): boolean {
  return error instanceof AggregateError && error.errors.every((one) => connectCodes.has(String(one?.code)));
}
