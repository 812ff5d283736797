import { connect } from 'node:net';
import { type Dispatcher, request } from 'undici';
import type { HealthCheckConfig } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';

export interface ProbeResult {
  /** What the check asked for was answered. */
  readonly ok: boolean;
  /** Somebody is there, whatever they said: a connection was accepted. */
  readonly answered: boolean;
  readonly latencyMs: number;
  /** What was seen, for the event: bounded, one line. */
  readonly detail: string;
}

type Probe = HealthCheckConfig['probe'];

/** Nobody was there: no connection came about. */
const silentCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/**
 * Asks a server once. Never rejects: every failure is a result.
 * @param url scheme, host and port of the server, as configured.
 */
export async function probeServer(
  url: string,
  probe: Probe,
  timeoutMs: number,
  dispatcher: Dispatcher,
): Promise<ProbeResult> {
  const startedMs = performance.now();
  const result = (outcome: Omit<ProbeResult, 'latencyMs'>): ProbeResult => ({
    ...outcome,
    latencyMs: performance.now() - startedMs,
  });
  try {
    return result(
      probe.kind === 'tcp'
        ? await connectOnce(url, timeoutMs)
        : await requestOnce(url, probe, timeoutMs, dispatcher),
    );
  } catch (error) {
    const code = codeOf(error);
    const timedOut = code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_ABORTED' || code === 'ABORT_ERR';
    const detail = timedOut ? `no answer within ${timeoutMs} ms` : messageOf(error, 200);
    return result({ ok: false, answered: !silentCodes.has(code), detail });
  }
}

function codeOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'UND_ERR_ABORTED';
  if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code);
  return '';
}

async function requestOnce(
  url: string,
  probe: Extract<Probe, { kind: 'http' }>,
  timeoutMs: number,
  dispatcher: Dispatcher,
): Promise<Omit<ProbeResult, 'latencyMs'>> {
  const { statusCode, body } = await request(new URL(probe.path, url), {
    dispatcher,
    // A fresh connection each time: a kept one says nothing of whether new ones are still accepted.
    reset: true,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { 'user-agent': 'nemuri-health', ...(probe.host === undefined ? {} : { host: probe.host }) },
  });
  await body.dump({ limit: 64 * 1024 });
  const ok = statusCode >= probe.expectStatusMin && statusCode <= probe.expectStatusMax;
  return { ok, answered: true, detail: `status ${statusCode}` };
}

function connectOnce(url: string, timeoutMs: number): Promise<Omit<ProbeResult, 'latencyMs'>> {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port || (protocol === 'https:' ? 443 : 80)) });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error(`no connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' })),
    );
    socket.once('connect', () => {
      resolve({ ok: true, answered: true, detail: 'connection accepted' });
      socket.destroy();
    });
    socket.once('error', reject);
  });
}
