import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { messageOf } from '../../libs/runtime/errors.ts';

/** When something was killed: epoch ms by what it is called. */
export interface Deaths {
  /** Of the proxy at this address. */
  readonly proxies: ReadonlyMap<string, number>;
  /** Of any server. */
  serverAtMs: number;
}

export interface Failure {
  readonly atMs: number;
  readonly tookMs: number;
  readonly method: string;
  readonly proxy: string;
  readonly cause: string;
}

export interface Clients {
  /** Sends one request. @returns why it has failed; undefined: it was answered, or nobody could have saved it. */
  ask(): Promise<string | undefined>;
  readonly failures: readonly Failure[];
  /** In flight on a killed proxy, or on a killed server without a possible retry. */
  readonly unavoidable: Readonly<Record<'killedProxy' | 'killedServer', number>>;
  /** Failed while the client's own process stood still: of an overloaded machine, not of Nemuri. */
  readonly stalledClient: number;
  /** The longest time that it stood still. */
  readonly longestStallMs: number;
  /** Times a proxy did not take a connection, so that the client went to the other one. */
  readonly wentElsewhere: number;
  close(): Promise<void>;
}

/** A request sent on a kept connection just after its proxy died was in flight too: the client could not know yet. */
const unnoticedMs = 1_000;
const timeoutMs = 90_000;
const betweenTriesMs = 100;
const lookIntervalMs = 250;
/** Longer than any time-out of the other side may be met by it. */
const stallMsThatCounts = 10_000;
const postShare = 0.1;
/** Some take so long that a drain has something to wait for. */
const slowShare = 0.05;
const slowMs = 2_000;
const maxFailures = 50;
const mostBytes = 4_000;

/**
 * Clients of a site with several proxies: one whose proxy takes no connection goes to the next. Every answer is
 * checked: its length, its checksum, and that a server says that it is its own.
 */
export function createClients(proxies: readonly string[], deaths: Deaths, random: () => number): Clients {
  // Each request has a connection of its own: one that is closed without an answer is then always a loss.
  const dispatcher = new Agent({
    connections: null,
    pipelining: 0,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  const failures: Failure[] = [];
  const unavoidable = { killedProxy: 0, killedServer: 0 };
  let wentElsewhere = 0;
  let stalledClient = 0;
  const stalls = watchStalls();

  const send = async (proxy: string, path: string, method: 'GET' | 'POST', body: Buffer) => {
    const response = await request(`${proxy}${path}`, {
      dispatcher,
      method,
      signal: AbortSignal.timeout(timeoutMs),
      ...(method === 'POST' ? { body } : {}),
    });
    const got = Buffer.from(await response.body.arrayBuffer());
    const { statusCode, headers } = response;
    if (statusCode !== 200) return `status ${statusCode}: ${got.toString('utf8').slice(0, 160)}`;
    if (typeof headers['x-server'] !== 'string') return 'an answer of no server';
    const isRight =
      method === 'POST'
        ? got.equals(body)
        : headers['content-length'] === String(got.length) &&
          headers['x-content-sha256'] === createHash('sha256').update(got).digest('hex');
    return isRight ? undefined : `a wrong answer of ${got.length} bytes`;
  };
  const ask = async () => {
    const method = random() < postShare ? 'POST' : 'GET';
    const bytes = Math.floor(random() * mostBytes);
    const body = Buffer.alloc(bytes, `${Math.floor(random() * 1e9)} `);
    const path = `/?bytes=${bytes}${random() < slowShare ? `&ms=${slowMs}` : ''}`;
    const startedMs = Date.now();
    let turn = Math.floor(random() * proxies.length);
    for (;;) {
      const proxy = proxies[turn % proxies.length] ?? '';
      const sentMs = Date.now();
      let cause: string | undefined;
      let isBroken = false;
      try {
        cause = await send(proxy, path, method, body);
        if (cause === undefined) return undefined;
      } catch (error) {
        const isRefused = (error as { code?: string }).code === 'ECONNREFUSED';
        if (isRefused && sentMs - startedMs < timeoutMs) {
          // Nothing was sent.
          wentElsewhere += 1;
          turn += 1;
          await pause(betweenTriesMs);
          continue;
        }
        isBroken = true;
        cause = messageOf(error, 160);
      }
      const endedMs = Date.now();
      const proxyDiedMs = deaths.proxies.get(proxy) ?? 0;
      if (isBroken && proxyDiedMs >= sentMs - unnoticedMs) {
        unavoidable.killedProxy += 1;
        return undefined;
      }
      // A GET has no side effects: the proxy tries it again. A POST may have been done.
      if ((method === 'POST' || isBroken) && deaths.serverAtMs >= sentMs - unnoticedMs) {
        unavoidable.killedServer += 1;
        return undefined;
      }
      if (stalls.hasStalledSince(sentMs)) {
        stalledClient += 1;
        return undefined;
      }
      if (failures.length < maxFailures)
        failures.push({ atMs: sentMs, tookMs: endedMs - sentMs, method, proxy, cause });
      return `${method}: ${cause}`;
    }
  };
  return {
    ask,
    failures,
    unavoidable,
    get wentElsewhere() {
      return wentElsewhere;
    },
    get stalledClient() {
      return stalledClient;
    },
    get longestStallMs() {
      return stalls.longestMs();
    },
    async close() {
      stalls.stop();
      await dispatcher.close();
    },
  };
}

/** Watches whether this process gets its turns. */
function watchStalls() {
  let lastMs = Date.now();
  let longestMs = 0;
  let stalledAtMs = 0;
  const look = () => {
    const stallMs = Date.now() - lastMs - lookIntervalMs;
    lastMs = Date.now();
    longestMs = Math.max(longestMs, stallMs);
    if (stallMs > stallMsThatCounts) stalledAtMs = lastMs;
  };
  const timer = setInterval(look, lookIntervalMs);
  return {
    /** Also when it stands still no more only since this moment. */
    hasStalledSince(sinceMs: number): boolean {
      return stalledAtMs >= sinceMs || Date.now() - lastMs > stallMsThatCounts;
    },
    longestMs: () => Math.max(0, Math.round(longestMs)),
    stop: () => clearInterval(timer),
  };
}
