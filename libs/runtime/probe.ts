import { readFile } from 'node:fs/promises';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { HealthCheckConfig } from '../events/mod.ts';
import { addressGuard } from './addressGuard.ts';
import { messageOf } from './errors.ts';
import { checkGrpcHealth } from './grpcHealth.ts';
import { bodyOf, containsExpected, type HttpHead, maxBodyBytes, parseHead } from './rawHttp.ts';

export interface ProbeResult {
  /** What the check asked for was answered. */
  readonly ok: boolean;
  /** Somebody is there, whatever they said: a connection was accepted. */
  readonly answered: boolean;
  readonly latencyMs: number;
  /** What was seen, for the event: bounded, one line. */
  readonly detail: string;
}

type ProbeConfig = HealthCheckConfig['probe'];
type HttpProbe = Extract<ProbeConfig, { kind: 'http' }>;
type Outcome = Omit<ProbeResult, 'latencyMs'>;

/** Asks a server once. Never rejects: every failure is a result. */
export type Probe = (timeoutMs: number) => Promise<ProbeResult>;

/** Nobody was there: no connection came about. */
const silentCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/** Nobody accepted in time: what was silent may be anything. */
class NoConnectionError extends Error {
  readonly code = 'ETIMEDOUT';
}

/**
 * A probe, ready to be sent again and again. Each time by a connection of its own: a kept one says nothing of whether
 * new ones are still accepted.
 * @param url scheme, host and port of the server, as configured.
 */
export function createProbe(url: string, probe: ProbeConfig): Probe {
  const once = outcomeOf(url, probe);
  return async (timeoutMs) => {
    const startedMs = performance.now();
    const outcome = await once(timeoutMs).catch((error): Outcome => {
      const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
      return {
        ok: false,
        answered: !silentCodes.has(code) && !allSilent(error),
        detail: messageOf(error, 200),
      };
    });
    return { ...outcome, latencyMs: performance.now() - startedMs };
  };
}

/** Node reports a host with several addresses, none of which answered, as one AggregateError. */
function allSilent(error: unknown): boolean {
  return error instanceof AggregateError && error.errors.every((one) => silentCodes.has(String(one?.code)));
}

function outcomeOf(url: string, probe: ProbeConfig): (timeoutMs: number) => Promise<Outcome> {
  const target = new URL(url);
  const host = target.hostname.replace(/^\[|\]$/g, '');
  const isTls = target.protocol === 'https:';
  const port = Number(target.port || (isTls ? 443 : 80));
  const open = () => connectTcp({ host, port, noDelay: true, ...addressGuard.target(host) });
  if (probe.kind === 'tcp') return (timeoutMs) => connectOnce(open(), timeoutMs);
  const tls = tlsOptions(host, probe);
  if (probe.kind === 'grpc') {
    return async (timeoutMs) => {
      // A connection that hangs is told from one that nobody accepted.
      const startedMs = performance.now();
      await connectOnce(open(), timeoutMs);
      const leftMs = Math.max(1, Math.ceil(timeoutMs - (performance.now() - startedMs)));
      const { serving, detail } = await checkGrpcHealth(url, probe.service, await tls(), leftMs);
      return { ok: serving, answered: true, detail };
    };
  }
  const request = requestOf(target, probe);
  return async (timeoutMs) => {
    if (!isTls) return askOnce(open(), 'connect', request, probe, timeoutMs);
    const socket = connectTls({ host, port, ...(await tls()), ...addressGuard.target(host) });
    return askOnce(socket, 'secureConnect', request, probe, timeoutMs);
  };
}

/** The CA is read once, when it is first needed. */
function tlsOptions(host: string, { tlsServerName, caFile }: Exclude<ProbeConfig, { kind: 'tcp' }>) {
  let ca: string | undefined;
  // An address is no server name (RFC 6066, 3).
  const name = tlsServerName ?? (/^[\d.]+$|:/.test(host) ? undefined : host);
  return async () => {
    if (caFile !== undefined) ca ??= await readFile(caFile, 'utf8');
    return { ...(name === undefined ? {} : { servername: name }), ...(ca === undefined ? {} : { ca }) };
  };
}

function requestOf(target: URL, { method, path, host, headers }: HttpProbe): string {
  const fields = Object.entries({
    'user-agent': 'nemuri-health',
    accept: '*/*',
    ...headers,
    connection: 'close',
  });
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host ?? target.host}`];
  return `${[...lines, ...fields.map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`;
}

function connectOnce(socket: Socket, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const late = () => socket.destroy(new NoConnectionError(`no connection within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve({ ok: true, answered: true, detail: 'connection accepted' });
      socket.destroy();
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

/** Sends the request and reads as much of the answer as it takes to judge it. */
function askOnce(
  socket: Socket,
  opened: 'connect' | 'secureConnect',
  request: string,
  probe: HttpProbe,
  timeoutMs: number,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let text = '';
    let accepted = false;
    const stop = () => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.destroy();
    };
    const settle = (outcome: Outcome) => {
      stop();
      resolve(outcome);
    };
    const fail = (error: unknown) => {
      stop();
      reject(error);
    };
    const timer = setTimeout(() => {
      const late = `within ${timeoutMs} ms`;
      fail(accepted ? new Error(`no answer ${late}`) : new NoConnectionError(`no connection ${late}`));
    }, timeoutMs);
    const read = (ended: boolean) => {
      try {
        const head = parseHead(text);
        const outcome = head && judgeAnswer(head, text, probe, ended);
        if (outcome) settle(outcome);
        else if (ended) fail(new Error('the connection was closed before an answer'));
      } catch (error) {
        fail(error);
      }
    };
    socket.once('connect', () => {
      accepted = true;
    });
    socket.once(opened, () => socket.write(request));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      read(false);
    });
    socket.once('end', () => read(true));
    socket.once('error', fail);
  });
}

/** @returns undefined when more of the answer is needed. */
function judgeAnswer(head: HttpHead, text: string, probe: HttpProbe, ended: boolean): Outcome | undefined {
  const { status } = head;
  const said = { answered: true, detail: `status ${status}` };
  if (status < probe.expectStatusMin || status > probe.expectStatusMax) return { ...said, ok: false };
  if (probe.expectBody === undefined) return { ...said, ok: true };
  const { body, whole } = bodyOf(text, head);
  const bounded = body.slice(0, maxBodyBytes);
  // What was read as latin1 is compared as such: bytes with bytes.
  if (containsExpected(bounded, Buffer.from(probe.expectBody, 'utf8').toString('latin1')))
    return { ...said, ok: true };
  const isOver = whole || ended || body.length >= maxBodyBytes;
  return isOver ? { ...said, ok: false, detail: `status ${status}, without the expected text` } : undefined;
}
