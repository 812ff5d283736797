/**
 * What a probe needs of HTTP/1.1 (RFC 9112), and no more: strict in what it takes, bounded in what it reads.
 */

/** Status line and headers may not be longer. */
const maxHeadBytes = 16 * 1024;
/** So much of a body is looked at for what is expected in it. */
export const maxBodyBytes = 64 * 1024;

export interface HttpHead {
  readonly status: number;
  /** Where the body begins. */
  readonly bodyAt: number;
  readonly chunked: boolean;
  readonly contentLength: number | undefined;
}

export class BadAnswerError extends Error {
  readonly code = 'NEMURI_BAD_ANSWER';
}

/**
 * The head of the final answer in what has come so far (latin1); undefined: it is not whole yet.
 * @throws BadAnswerError when this is no HTTP/1.1 answer.
 */
export function parseHead(text: string): HttpHead | undefined {
  let at = 0;
  for (;;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) {
      if (text.length - at > maxHeadBytes)
        throw new BadAnswerError(`headers of more than ${maxHeadBytes} bytes`);
      // What does not begin like an answer never will.
      const start = text.slice(at, at + 7);
      if (!'HTTP/1.'.startsWith(start)) throw new BadAnswerError('no HTTP/1.1 answer');
      return undefined;
    }
    const [statusLine = '', ...fields] = text.slice(at, end).split('\r\n');
    const [, digits] = /^HTTP\/1\.[01] ([1-9]\d\d)(?: |$)/.exec(statusLine) ?? [];
    if (digits === undefined) throw new BadAnswerError('no HTTP/1.1 answer');
    const status = Number(digits);
    at = end + 4;
    // An interim answer (100, 103) comes before the one that counts.
    if (status >= 200) return { status, bodyAt: at, ...framing(fields) };
  }
}

function framing(fields: readonly string[]): Pick<HttpHead, 'chunked' | 'contentLength'> {
  let chunked = false;
  let contentLength: number | undefined;
  for (const field of fields) {
    const colon = field.indexOf(':');
    if (colon <= 0) throw new BadAnswerError('a header without a name');
    const name = field.slice(0, colon).toLowerCase();
    const value = field.slice(colon + 1).trim();
    if (name === 'transfer-encoding') chunked = value.toLowerCase() === 'chunked';
    else if (name === 'content-length') {
      if (!/^\d{1,15}$/.test(value)) throw new BadAnswerError('a content-length that is none');
      contentLength = Number(value);
    }
  }
  return { chunked, contentLength };
}

/** The body in what has come so far (latin1), and whether more of it is to come. */
export function bodyOf(text: string, head: HttpHead): { readonly body: string; readonly whole: boolean } {
  const raw = text.slice(head.bodyAt);
  if (head.chunked) return unchunk(raw);
  const { contentLength = Number.POSITIVE_INFINITY } = head;
  return { body: raw.slice(0, contentLength), whole: raw.length >= contentLength };
}

function unchunk(raw: string): { readonly body: string; readonly whole: boolean } {
  let body = '';
  let at = 0;
  for (;;) {
    const lineEnd = raw.indexOf('\r\n', at);
    if (lineEnd < 0) return { body, whole: false };
    const [, size] = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(raw.slice(at, lineEnd)) ?? [];
    if (size === undefined) throw new BadAnswerError('a chunk without a size');
    const length = Number.parseInt(size, 16);
    if (length === 0) return { body, whole: true };
    const chunk = raw.slice(lineEnd + 2, lineEnd + 2 + length);
    body += chunk;
    if (chunk.length < length) return { body, whole: false };
    at = lineEnd + 2 + length + 2;
  }
}

/**
 * Is the expected text in the body? `*` stands for anything in between. In linear time whatever the text is, as a
 * regular expression would not be.
 */
export function containsExpected(body: string, expected: string): boolean {
  let at = 0;
  for (const part of expected.split('*')) {
    const found = body.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}
