import type { FleetConfig } from '../../libs/events/mod.ts';

/** What bounds the HTTP/1.1 side of a server of Node's; that of HTTP/2 has it too, its types do not say so. */
export interface Http1Bounds {
  headersTimeout: number;
  requestTimeout: number;
  keepAliveTimeout: number;
  maxConnections: number;
}

/** Sets the configured bounds of the client side. */
export function boundHttp1(server: Http1Bounds, settings: FleetConfig['proxy']): void {
  server.headersTimeout = settings.headerTimeoutMs;
  server.requestTimeout = settings.requestTimeoutMs;
  server.keepAliveTimeout = keptOpenMs(settings.keepAliveTimeoutMs);
  server.maxConnections = settings.maxConnections;
}

/**
 * Node announces the whole seconds of this as `Keep-Alive: timeout=`, and closes after all of it. A client may use its
 * connection up to what was announced; the rest of a second is for that last request to arrive, as RFC 9112, 9.5 asks
 * of a server that closes. @returns milliseconds
 */
function keptOpenMs(keepAliveTimeoutMs: number): number {
  return Math.ceil(keepAliveTimeoutMs / 1_000) * 1_000 + 999;
}
