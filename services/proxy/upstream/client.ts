import {
  type Call,
  type Connection,
  type ConnectionBounds,
  type FailedAt,
  openConnection,
  type Target,
  type TlsOptions,
  type UpstreamHandler,
  type UpstreamRequest,
} from './connection.ts';

export interface ClientBounds extends ConnectionBounds {
  readonly keepAliveTimeoutMs: number;
}

/** The connections to one server: kept alive, one request at a time on each, as many as are needed. */
export interface UpstreamClient {
  send(request: UpstreamRequest, handler: UpstreamHandler): Call;
  /** Requests that wait for a connection to come about. */
  readonly pending: number;
  /** Idle connections go now, the others when their answer has ended. */
  close(): void;
  /** All go now; requests under way fail. */
  destroy(): void;
}

const longestCheckMs = 500;
const shortestCheckMs = 5;

/** @param url `http:` or `https:`, host and port; what follows them is not used. */
export function createUpstreamClient(
  url: string,
  bounds: ClientBounds,
  tls: TlsOptions = {},
): UpstreamClient {
  const target = targetOf(url, tls);
  const all = new Set<Connection>();
  const idle: Connection[] = [];
  let pending = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const check = () => {
    const nowMs = performance.now();
    for (const connection of all) connection.checkTime(nowMs, bounds.keepAliveTimeoutMs);
  };
  const onFree = (connection: Connection) => {
    if (closed) connection.destroy(undefined);
    else idle.push(connection);
  };
  const onConnected = () => {
    pending -= 1;
  };
  const onGone = (connection: Connection) => {
    all.delete(connection);
    if (!connection.connected) pending -= 1;
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
    if (all.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  const onFailed = (call: Call, { used }: Connection, error: Error, at: FailedAt) => {
    const { request, handler } = call;
    const mayResend = request.idempotent && request.body.replayable;
    // The server closed an idle connection while this request was on its way: that tells nothing about the server.
    if (used && at === 'beforeAnswer' && mayResend && !closed) open().send(call);
    else handler.onError(error, at);
  };
  const open = (): Connection => {
    const connection = openConnection(target, bounds, { onConnected, onFree, onGone, onFailed });
    all.add(connection);
    pending += 1;
    timer ??= setInterval(check, checkIntervalMs(bounds)).unref();
    return connection;
  };
  const send = (request: UpstreamRequest, handler: UpstreamHandler): Call => {
    const call: Call = { request, handler, connection: undefined };
    (idle.pop() ?? open()).send(call);
    return call;
  };
  return {
    send,
    get pending() {
      return pending;
    },
    close() {
      closed = true;
      for (const connection of idle.splice(0)) connection.destroy(undefined);
    },
    destroy() {
      closed = true;
      for (const connection of [...all]) connection.destroy(new Error('the proxy is stopping'));
    },
  };
}

function targetOf(url: string, options: TlsOptions): Target {
  const { protocol, hostname, port } = new URL(url);
  const tls = protocol === 'https:';
  const host = hostname.replace(/^\[|\]$/g, '');
  return { host, port: Number(port || (tls ? 443 : 80)), tls: tls ? options : undefined };
}

function checkIntervalMs(bounds: ClientBounds): number {
  const shortest = Math.min(
    bounds.connectTimeoutMs,
    bounds.responseTimeoutMs,
    bounds.idleTimeoutMs,
    bounds.keepAliveTimeoutMs,
  );
  return Math.max(shortestCheckMs, Math.min(longestCheckMs, Math.floor(shortest / 8)));
}
