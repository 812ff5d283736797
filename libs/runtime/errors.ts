/**
 * Every answer that Nemuri itself gives, in place of a server's or for the console: one row a case. The body is
 * `application/problem+json` (RFC 9457); `code` is stable and what a client should test.
 */
const problemTable = {
  NEMURI_NO_ROUTE: { status: 404, title: 'No pool serves this host and path' },
  NEMURI_HOST_NOT_ALLOWED: { status: 421, title: 'This host is not served here' },
  NEMURI_BODY_TOO_LARGE: { status: 413, title: 'The request body is larger than this pool takes' },
  NEMURI_HEADERS_TOO_LARGE: { status: 431, title: 'The header section is too large' },
  NEMURI_BAD_REQUEST: { status: 400, title: 'The request can not be forwarded' },
  NEMURI_REQUEST_TIMEOUT: { status: 408, title: 'The request did not come in time' },
  NEMURI_UPSTREAM_FAILED: { status: 502, title: 'No server could answer this request' },
  NEMURI_NOT_CONFIGURED: { status: 503, title: 'The proxy has no configuration yet' },
  NEMURI_ASLEEP: { status: 503, title: 'This site is asleep, and this request does not wake it' },
  NEMURI_PARKING_FULL: { status: 503, title: 'No server is ready and too many requests wait already' },
  NEMURI_PARKED_TOO_LONG: { status: 503, title: 'No server became ready in time' },
  NEMURI_STOPPING: { status: 503, title: 'The proxy is stopping' },
  NEMURI_UPSTREAM_TIMEOUT: { status: 504, title: 'The server did not answer in time' },
  // The console's own.
  NEMURI_LOGIN_REQUIRED: { status: 401, title: 'This needs a login' },
  NEMURI_LOGIN_REFUSED: { status: 401, title: 'This token is not the right one' },
  NEMURI_ORIGIN_REFUSED: { status: 403, title: 'This request does not come from the console’s own page' },
  NEMURI_NOT_FOUND: { status: 404, title: 'There is nothing here' },
  NEMURI_CAN_NOT_BE_DONE: { status: 409, title: 'This can not be done now' },
  NEMURI_MEDIA_TYPE: { status: 415, title: 'This content type is not taken' },
  NEMURI_INVALID: { status: 400, title: 'The request is not valid' },
  NEMURI_TOO_OFTEN: { status: 429, title: 'Too many requests of this kind' },
  NEMURI_FAILED: { status: 500, title: 'The console failed to answer' },
  NEMURI_BUS_LOST: { status: 503, title: 'The bus did not answer' },
  NEMURI_TOO_MANY_VIEWERS: { status: 503, title: 'Too many pages are open already' },
} as const;

export type ProblemCode = keyof typeof problemTable;

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ProblemCode;
  readonly detail: string;
}

/** An RFC 9457 problem. `detail` reaches clients: it must not name servers, addresses or secrets. */
export function problemOf(code: ProblemCode, detail: string): Problem {
  const { status, title } = problemTable[code];
  return { type: `urn:nemuri:problem:${code}`, title, status, code, detail };
}

/** A failure that ends a request with one of the problems above. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly retryAfterSeconds: number | undefined;
  constructor(code: ProblemCode, detail: string, retryAfterSeconds?: number) {
    super(`${code}: ${detail}`);
    this.name = 'ProblemError';
    this.problem = problemOf(code, detail);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The message of whatever was thrown, for a log or an event; bounded, since some carry whole bodies. */
export function messageOf(error: unknown, maxLength = 500): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  return message.length > maxLength ? `${message.slice(0, maxLength - 1)}…` : message;
}
