import type { IncomingMessage, ServerResponse } from 'node:http';
import { type RequestHeaders, responseHeaders } from './headers.ts';
import type { ResponseHead } from './upstream/responseHead.ts';

/** Node's HTTP/2 responses look like its HTTP/1.1 ones, but for these differences. */
interface Http2Parts {
  readonly stream?: { readonly destroyed: boolean; readonly endAfterHeaders: boolean };
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

/** Nobody can get this answer any more. */
export function isGone(response: ServerResponse): boolean {
  return response.destroyed || ((response as Http2Parts).stream?.destroyed ?? false);
}

/**
 * Begins the answer to the client with the server's status and headers.
 * @param closing the proxy is stopping: the client shall open a new connection for its next request.
 */
export function startAnswer(response: ServerResponse, head: ResponseHead, closing: boolean): void {
  if (isHttp2(response)) response.writeHead(head.status, fieldsOf(responseHeaders(head.headers, false)));
  else response.writeHead(head.status, head.reason, responseHeaders(head.headers, closing));
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
