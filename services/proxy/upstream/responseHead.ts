/** The server's answer is not HTTP/1.1 as RFC 9112 has it: its connection can't be trusted any more. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(`not HTTP/1.1: ${message}`);
    this.name = 'ProtocolError';
  }
}

/** How the end of a body is found (RFC 9112 6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  /** Names and values in turn, as they came. */
  readonly headers: string[];
  readonly framing: Framing;
  /** The connection can carry another request after this answer. */
  readonly reusable: boolean;
}

/** A whole head, from the status line to the empty line, CRLF everywhere, no obs-fold (RFC 9112 4, 5). */
const wholeHead =
  /^HTTP\/1\.[01] [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n$/;
const wholeTrailers = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n$/;
const lengthPattern = /^\d{1,15}$/;

const none: Framing = { kind: 'none' };
const chunked: Framing = { kind: 'chunked' };
const untilClose: Framing = { kind: 'close' };

/**
 * Parses a response head.
 * @param text latin1, up to and with the empty line.
 * @param method of the request: HEAD is answered without a body.
 * @throws ProtocolError for anything that two parsers could read in two ways: obs-fold, bare LF, control characters,
 * `Transfer-Encoding` beside `Content-Length`, more than one `Content-Length`, any coding but `chunked`.
 */
export function parseResponseHead(text: string, method: string, maxHeaders: number): ResponseHead {
  if (!wholeHead.test(text)) throw new ProtocolError('malformed response head');
  const statusEnd = text.indexOf('\r\n');
  const status = Number(text.slice(9, 12));
  const isHttp11 = text.charCodeAt(7) === 0x31;
  const headers = readFields(text, statusEnd + 2, maxHeaders);
  let length: string | undefined;
  let coding: string | undefined;
  let close = !isHttp11;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    // The lengths of connection, content-length and transfer-encoding: other names need no lower case.
    if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue;
    const lower = name.toLowerCase();
    const value = headers[index + 1] as string;
    if (lower === 'content-length') {
      if (length !== undefined) throw new ProtocolError('more than one Content-Length');
      length = value;
    } else if (lower === 'transfer-encoding') {
      if (coding !== undefined) throw new ProtocolError('more than one Transfer-Encoding');
      coding = value.toLowerCase();
    } else if (lower === 'connection' && namesClose(value)) close = true;
  }
  const framing = framingOf(status, method, isHttp11, length, coding);
  // A server that announces a body where none may be could send it, too: nothing comes after it on this connection.
  const bodyWhereNone = (status < 200 || status === 204) && (coding !== undefined || (length ?? '0') !== '0');
  const reusable = !close && framing.kind !== 'close' && !bodyWhereNone;
  return { status, reason: text.slice(13, statusEnd), headers, framing, reusable };
}

/** @throws ProtocolError unless `text` is a trailer section up to and with its empty line. */
export function parseTrailers(text: string, maxHeaders: number): string[] {
  if (!wholeTrailers.test(text)) throw new ProtocolError('malformed trailers');
  return readFields(text, 0, maxHeaders);
}

function readFields(text: string, from: number, maxHeaders: number): string[] {
  const fields: string[] = [];
  for (let at = from; at < text.length - 2; ) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (fields.length >= 2 * maxHeaders) throw new ProtocolError(`more than ${maxHeaders} header fields`);
    fields.push(text.slice(at, colon), trimmed(text, colon + 1, end));
    at = end + 2;
  }
  return fields;
}

/** Without the optional white space around it. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function namesClose(connection: string): boolean {
  return connection.split(',').some((option) => option.trim().toLowerCase() === 'close');
}

function framingOf(
  status: number,
  method: string,
  isHttp11: boolean,
  length: string | undefined,
  coding: string | undefined,
): Framing {
  if (length !== undefined && !lengthPattern.test(length))
    throw new ProtocolError('malformed Content-Length');
  if (coding !== undefined) {
    if (length !== undefined) throw new ProtocolError('Transfer-Encoding beside Content-Length');
    if (!isHttp11) throw new ProtocolError('Transfer-Encoding in HTTP/1.0');
    if (coding !== 'chunked') throw new ProtocolError('a transfer coding other than chunked');
  }
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return none;
  if (coding !== undefined) return chunked;
  return length === undefined ? untilClose : { kind: 'length', bytes: Number(length) };
}
