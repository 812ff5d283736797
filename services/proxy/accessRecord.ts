import type { IncomingMessage } from 'node:http';
import type { AccessRecord } from './accessLog.ts';
import type { RequestHeaders } from './headers.ts';

export interface AccessOutcome {
  /** By `performance.now()`. */
  readonly startedMs: number;
  readonly status: number;
  readonly responseBytes?: number;
  readonly pool?: string;
  readonly server?: string | undefined;
  readonly attempts?: number;
  readonly traceparent?: string | undefined;
}

/** What the access log says of a request that is over. */
export function accessRecordOf(
  request: IncomingMessage,
  headers: RequestHeaders,
  address: string,
  outcome: AccessOutcome,
): AccessRecord {
  const { startedMs } = outcome;
  return {
    timeMs: Math.round(performance.timeOrigin + startedMs),
    client: address,
    method: request.method ?? 'GET',
    target: request.url ?? '/',
    httpVersion: request.httpVersion,
    host: headers.host,
    status: outcome.status,
    bytes: outcome.responseBytes ?? 0,
    durationMs: Math.round((performance.now() - startedMs) * 1_000) / 1_000,
    pool: outcome.pool,
    server: outcome.server,
    attempts: outcome.attempts ?? 0,
    referer: request.headers.referer,
    userAgent: headers.userAgent,
    traceparent: outcome.traceparent ?? headers.traceparent,
  };
}
