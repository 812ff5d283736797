import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { exponentialMs, seededRandom } from './random.ts';

/** How an origin works. `maxQueue`: requests that wait for a slot; more get 503. */
export interface WorkloadSettings {
  readonly name: string;
  readonly bootId: string;
  readonly seed: number;
  readonly workers: number;
  readonly serviceTimeMs: number;
  readonly maxQueue: number;
}

/** What an origin did in the time since the last look. `utilization`: busy share of its slots, 0..1. */
export interface LoadReport {
  readonly utilization: number;
  readonly busySlots: number;
  readonly queued: number;
  readonly completed: number;
}

export interface Workload {
  readonly handle: RequestListener;
  /** Closes the account of the interval since the last call. */
  report(): LoadReport;
  /** From here on every answer closes its connection. */
  beginShutdown(): void;
}

interface Slots {
  /** Takes a slot, or waits for one in order; false when the queue is full. */
  enter(start: () => void): boolean;
  /** Forgets a `start` that still waits. */
  leaveQueue(start: () => void): void;
  release(): void;
  busy(): number;
  queued(): number;
  /** Slot-milliseconds of work since the start. */
  busySlotMs(): number;
}

const maxServiceFactor = 5;
const maxServiceMs = 600_000;
const maxBodyBytes = 16 * 1024 * 1024;
const defaultBodyBytes = 1_024;
const maxCachedBodies = 16;

function createSlots(workers: number, maxQueue: number, clock: () => number): Slots {
  const queue: (() => void)[] = [];
  let busy = 0;
  let busySlotMs = 0;
  let lastMs = clock();
  const settle = () => {
    const nowMs = clock();
    busySlotMs += busy * (nowMs - lastMs);
    lastMs = nowMs;
  };
  return {
    enter(start) {
      if (busy >= workers) {
        if (queue.length >= maxQueue) return false;
        queue.push(start);
        return true;
      }
      settle();
      busy += 1;
      start();
      return true;
    },
    leaveQueue(start) {
      const index = queue.indexOf(start);
      if (index >= 0) queue.splice(index, 1);
    },
    release() {
      const next = queue.shift();
      if (next) return next();
      settle();
      busy -= 1;
    },
    busy: () => busy,
    queued: () => queue.length,
    busySlotMs() {
      settle();
      return busySlotMs;
    },
  };
}

/** A number of a query between 0 and `max`, or undefined when it is absent or none. */
function boundedNumber(value: string | null, max: number): number | undefined {
  if (value === null || value === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? Math.min(max, Math.max(0, number)) : undefined;
}

/** The same letters for the same length on every server, so that a client can check what came. */
export function contentOf(bytes: number): Buffer {
  return Buffer.alloc(bytes, 'abcdefghijklmnopqrstuvwxyz');
}

function createContents() {
  const cache = new Map<number, { content: Buffer; sha256: string }>();
  return (bytes: number) => {
    const cached = cache.get(bytes);
    if (cached) return cached;
    const content = contentOf(bytes);
    const entry = { content, sha256: createHash('sha256').update(content).digest('hex') };
    if (cache.size < maxCachedBodies) cache.set(bytes, entry);
    return entry;
  };
}

/**
 * The web server of one machine: answers take real time in one of `workers` slots, in order of arrival.
 * `?ms=` sets the time (else exponential around `serviceTimeMs`, at most five times that), `?bytes=` the length of
 * the answer; POST, PUT and PATCH get their own body back. `/healthz` needs no slot.
 * Answers carry `x-server`, `x-boot-id` and, where the content is its own, `x-content-sha256`.
 */
export function createWorkload(settings: WorkloadSettings, clock: () => number): Workload {
  const random = seededRandom(settings.seed);
  const slots = createSlots(settings.workers, settings.maxQueue, clock);
  const contents = createContents();
  let closing = false;
  let completed = 0;
  let reported = { atMs: clock(), busySlotMs: 0 };

  const send = (response: ServerResponse, status: number, body: Buffer, headers = {}) => {
    response.writeHead(status, {
      ...identity(),
      'content-type': 'text/plain',
      'content-length': body.byteLength,
      ...headers,
    });
    response.end(response.req.method === 'HEAD' ? undefined : body);
  };
  const identity = () => ({
    'x-server': settings.name,
    'x-boot-id': settings.bootId,
    ...(closing ? { connection: 'close' } : {}),
  });
  const answer = (request: IncomingMessage, response: ServerResponse, bytes: number) => {
    if (request.method === 'POST' || request.method === 'PUT' || request.method === 'PATCH') {
      const contentType = request.headers['content-type'] ?? 'application/octet-stream';
      response.writeHead(200, { ...identity(), 'content-type': contentType });
      request.pipe(response);
      return;
    }
    const { content, sha256 } = contents(bytes);
    send(response, 200, content, { 'x-content-sha256': sha256 });
  };
  const work = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => {
    const serviceMs =
      boundedNumber(query.get('ms'), maxServiceMs) ??
      exponentialMs(random, settings.serviceTimeMs, maxServiceFactor);
    const bytes = Math.floor(boundedNumber(query.get('bytes'), maxBodyBytes) ?? defaultBodyBytes);
    let timer: NodeJS.Timeout | undefined;
    const start = () => {
      timer = setTimeout(answer, serviceMs, request, response, bytes);
    };
    if (!slots.enter(start)) return send(response, 503, Buffer.from('queue full\n'), { 'retry-after': '1' });
    response.once('close', () => {
      if (timer === undefined) return slots.leaveQueue(start);
      clearTimeout(timer);
      if (response.writableFinished) completed += 1;
      slots.release();
    });
  };

  return {
    handle(request, response) {
      const [path, search = ''] = (request.url ?? '/').split('?', 2);
      if (path === '/healthz') return send(response, 200, Buffer.from('ok\n'));
      work(request, response, new URLSearchParams(search));
    },
    report() {
      const nowMs = clock();
      const busySlotMs = slots.busySlotMs();
      const slotMs = settings.workers * (nowMs - reported.atMs);
      const utilization = slotMs > 0 ? Math.min(1, (busySlotMs - reported.busySlotMs) / slotMs) : 0;
      reported = { atMs: nowMs, busySlotMs };
      return { utilization, busySlots: slots.busy(), queued: slots.queued(), completed };
    },
    beginShutdown() {
      closing = true;
    },
  };
}
