import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { type RequestHeaders, responseHeaders } from './headers.ts';
import type { ResponseHead } from './upstream/responseHead.ts';

/** Node's HTTP/2 responses look like its HTTP/1.1 ones, but for these differences. */
interface Http2Parts {
  readonly stream?: ServerHttp2Stream & { readonly endAfterHeaders: boolean };
}

export function isHttp2(response: ServerResponse): boolean {
  return (response as Http2Parts).stream !== undefined;
}

/** Whether a body follows the header section (RFC 9112 6.3; in HTTP/2 the frames say so). */
export function announcesBody(request: IncomingMessage, headers: RequestHeaders): boolean {
  const { stream } = request as Http2Parts;
  if (stream) return !stream.endAfterHeaders;
  return headers.chunked || (headers.contentLength ?? 0) > 0;
}

/**
 * Whether an answer comes before the whole request has. In HTTP/1.1 its connection has to end with it: what was not
 * read to its end would be taken for the next request (RFC 9112 9.3).
 */
export function isEarly(response: ServerResponse): boolean {
  const { req } = response;
  if (req.complete || isHttp2(response)) return false;
  return 'transfer-encoding' in req.headers || Number(req.headers['content-length'] ?? 0) > 0;
}

/**
 * Ends a request of HTTP/2 whose body stops coming for so long (Node's own time-outs see HTTP/1.1 to it).
 * @returns what is called when the body has come.
 */
export function boundSilence(request: IncomingMessage, silenceMs: number): () => void {
  const { stream } = request as Http2Parts;
  if (!stream) return () => undefined;
  stream.setTimeout(silenceMs, () => stream.close(constants.NGHTTP2_CANCEL));
  return () => stream.setTimeout(0);
}

const lastFrameCheckMs = 5;
const mostLastFrameChecks = 1_000;

/**
 * Tells a client of HTTP/2 to send no more of a body once its answer has ended (RFC 9113 8.1), but not before the
 * frame that ends the answer has gone: a reset overtakes it, and the answer would look cut.
 */
export function endBodyWithAnswer(request: IncomingMessage): void {
  const { stream } = request as Http2Parts;
  if (!stream) return;
  const end = (checks: number) => {
    if (stream.destroyed || stream.readableEnded) return;
    if (stream.state.localClose !== 1 && checks > 0) {
      setTimeout(end, lastFrameCheckMs, checks - 1);
      return;
    }
    stream.close(constants.NGHTTP2_NO_ERROR);
    stream.destroy();
  };
  stream.once('finish', () => {
    if (!stream.readableEnded) setTimeout(end, lastFrameCheckMs, mostLastFrameChecks);
  });
}

/** Nobody can get this answer any more. */
export function isGone(response: ServerResponse): boolean {
  return response.destroyed || ((response as Http2Parts).stream?.destroyed ?? false);
}

/**
 * Begins the answer to the client with the server's status and headers.
 * @param closing the proxy is stopping: the client shall open a new connection for its next request.
 * @returns whether that is all of it: in HTTP/2 the end is said with the headers, as gRPC's clients expect.
 */
export function startAnswer(
  response: ServerResponse,
  head: ResponseHead,
  closing: boolean,
  setCookie: string | undefined,
): boolean {
  const { stream } = response as Http2Parts;
  const headers = responseHeaders(head.headers, !stream && (closing || isEarly(response)));
  if (setCookie !== undefined) headers.push('set-cookie', setCookie);
  if (!stream) {
    response.writeHead(head.status, head.reason, headers);
    return false;
  }
  if (head.framing.kind === 'none') {
    stream.respond({ ':status': head.status, ...fieldsOf(headers) }, { endStream: true });
    return true;
  }
  response.writeHead(head.status, fieldsOf(headers));
  return false;
}

/** Tells the client of a 1xx answer; those of HTTP/1.0 must not hear of any (RFC 9110 15.2). */
export function tellEarly(request: IncomingMessage, response: ServerResponse, head: ResponseHead): void {
  // 100 is ours to say, before the body is read.
  if (head.status === 100 || response.headersSent || isGone(response)) return;
  const { stream } = response as Http2Parts;
  const headers = responseHeaders(head.headers, false);
  if (stream) {
    stream.additionalHeaders({ ':status': head.status, ...fieldsOf(headers) });
    return;
  }
  // A response behind others in a pipeline has no socket yet.
  if (request.httpVersion === '1.0' || !response.socket) return;
  let lines = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  for (let index = 0; index + 1 < headers.length; index += 2) {
    lines += `${headers[index]}: ${headers[index + 1]}\r\n`;
  }
  response.socket.write(`${lines}\r\n`, 'latin1');
}

/** Ends an answer that would last, the protocol's way: its client opens another, and may do so at once. */
export function endStream(response: ServerResponse, isGrpc: boolean): void {
  const { stream } = response as Http2Parts;
  // GOAWAY: what else is open on the connection comes to its end, new requests open another.
  if (stream) stream.session?.close();
  if (isGrpc && !stream) {
    response.destroy();
    return;
  }
  // 14 is UNAVAILABLE: gRPC's clients try again.
  if (isGrpc) response.addTrailers({ 'grpc-status': '14', 'grpc-message': 'this server goes to sleep' });
  response.end();
}

/** Names (in lower case) with their values, from names and values in turn; a repeated name has a list. */
export function fieldsOf(flat: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (let index = 0; index + 1 < flat.length; index += 2) {
    const name = (flat[index] as string).toLowerCase();
    const value = flat[index + 1] as string;
    const known = fields[name];
    fields[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return fields;
}
