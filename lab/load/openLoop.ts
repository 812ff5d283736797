import { Agent, request } from 'undici';
import { messageOf } from '../../libs/runtime/errors.ts';
import { createLatencyHistogram, type LatencySummary } from '../../libs/runtime/latency.ts';

export interface LoadResult {
  readonly requests: number;
  /** Not answered 2xx: other status, time-out, reset, refused. */
  readonly failed: number;
  /** Each cause of a failure with its count; at most `maxCauses` of them. */
  readonly causes: Readonly<Record<string, number>>;
  /** From the moment the request was due, so that a slow generator or a full queue is not hidden. */
  readonly latencyMs: LatencySummary;
  /** How late the generator itself sent its latest request. */
  readonly maxSendLagMs: number;
}

export interface OpenLoopOptions {
  /** Sends one request. @returns why it has failed, in words. */
  readonly ask?: () => Promise<string | undefined>;
  /** Where the ordinary `ask` sends it. */
  readonly url?: string;
  /** The Host header of the ordinary `ask`; left out: that of the URL. */
  readonly host?: string;
  /** Seconds from the start, growing. */
  readonly arrivals: Iterable<number>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told of each request once it is over; `cause` when it has failed. */
  readonly onEnd?: (dueMs: number, latencyMs: number, cause: string | undefined) => void;
}

export interface OpenLoop {
  readonly inFlight: number;
  /** So far. */
  result(): LoadResult;
  /** Resolves when every request that was sent is answered or has failed. Aborting sends no more. */
  readonly done: Promise<LoadResult>;
}

const maxCauses = 20;

/** Sends each request when it is due, whether or not those before it are answered. */
export function runOpenLoop(options: OpenLoopOptions): OpenLoop {
  const { url = '', host, arrivals, timeoutMs, signal, onEnd } = options;
  const dispatcher = new Agent({ connections: null, pipelining: 1, connect: { timeout: timeoutMs } });
  const latency = createLatencyHistogram();
  const causes: Record<string, number> = {};
  const startedMs = performance.now();
  let requests = 0;
  let failed = 0;
  let inFlight = 0;
  let maxSendLagMs = 0;
  let sentAll = false;
  let finish: (result: LoadResult) => void;
  const done = new Promise<LoadResult>((resolve) => {
    finish = resolve;
  });

  const askUrl = async () => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const headers = host === undefined ? {} : { host };
    const { statusCode, body } = await request(url, { dispatcher, signal: timeout, headers });
    await body.dump({ limit: 64 * 1024 * 1024 });
    return statusCode < 200 || statusCode > 299 ? `status ${statusCode}` : undefined;
  };
  const { ask = askUrl } = options;
  const result = (): LoadResult => ({ requests, failed, causes, latencyMs: latency.summary(), maxSendLagMs });
  const fail = (cause: string) => {
    failed += 1;
    const known = cause in causes || Object.keys(causes).length < maxCauses;
    causes[known ? cause : 'other'] = (causes[known ? cause : 'other'] ?? 0) + 1;
  };
  const endIfDone = () => {
    if (sentAll && inFlight === 0) void dispatcher.close().then(() => finish(result()));
  };
  const send = async (dueMs: number) => {
    requests += 1;
    inFlight += 1;
    let failure: string | undefined;
    maxSendLagMs = Math.max(maxSendLagMs, performance.now() - startedMs - dueMs);
    try {
      failure = await ask();
    } catch (error) {
      failure = messageOf(error, 120);
    }
    if (failure !== undefined) fail(failure);
    const latencyMs = performance.now() - startedMs - dueMs;
    latency.record(latencyMs);
    onEnd?.(dueMs, latencyMs, failure);
    inFlight -= 1;
    endIfDone();
  };

  const due = arrivals[Symbol.iterator]();
  let timer: NodeJS.Timeout | undefined;
  const finishSending = () => {
    clearTimeout(timer);
    if (sentAll) return;
    sentAll = true;
    endIfDone();
  };
  let next = due.next();
  const pump = () => {
    const nowMs = performance.now() - startedMs;
    while (!next.done && next.value * 1_000 <= nowMs) {
      void send(next.value * 1_000);
      next = due.next();
    }
    if (next.done) finishSending();
    else timer = setTimeout(pump, Math.max(1, next.value * 1_000 - nowMs));
  };
  signal.addEventListener('abort', finishSending, { once: true });
  pump();
  return {
    get inFlight() {
      return inFlight;
    },
    result,
    done,
  };
}
