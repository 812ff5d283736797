import type { Span } from '@opentelemetry/api';
import { beginSpan, failSpan, traceparentOf } from '../../libs/runtime/telemetry.ts';

/** A request that took longer than this many latency objectives is worth a span. */
const slowObjectives = 2;

export interface RequestTrace {
  /** From now on the request has a span, begun when it arrived: it is parked, or failing. */
  keep(): void;
  /** What travels with the request: our span's context; undefined: the client's own goes on untouched. */
  readonly traceparent: string | undefined;
  event(name: string, attributes?: Record<string, string | number>): void;
  end(status: number, error?: string): void;
}

export interface RequestTraceOptions {
  readonly method: string;
  /** Path and query, as asked for. */
  readonly target: string;
  readonly pool: string;
  /** The client's own W3C context. */
  readonly traceparent: string | undefined;
  readonly startedAtMs: number;
  readonly latencyObjectiveMs: number;
  /** Share of ordinary requests that get a span all the same. */
  readonly sampleRatio: number;
  readonly nowMs: () => number;
}

export const noTrace: RequestTrace = { keep() {}, traceparent: undefined, event() {}, end() {} };

/**
 * The span of one request, made only when it is wanted: the client sampled its trace, the draw says so, or the
 * request turns out to be parked, failed or slow. Deciding before any span exists is what keeps the rest cheap.
 */
export function createRequestTrace(options: RequestTraceOptions): RequestTrace {
  const trace = new LazyTrace(options);
  if (isSampled(options.traceparent) || Math.random() < options.sampleRatio) trace.keep();
  return trace;
}

/** A class for once: an object of closures and a getter is half a microsecond of each request. */
class LazyTrace implements RequestTrace {
  readonly #options: RequestTraceOptions;
  #span: Span | undefined;

  constructor(options: RequestTraceOptions) {
    this.#options = options;
  }

  keep(): void {
    const { method, target, pool, traceparent, startedAtMs } = this.#options;
    this.#span ??= beginSpan(
      `${method} ${pool}`,
      traceparent,
      { 'http.request.method': method, 'url.path': target.split('?', 1)[0], 'nemuri.pool': pool },
      startedAtMs,
    );
  }

  get traceparent(): string | undefined {
    return this.#span && traceparentOf(this.#span).traceparent;
  }

  event(name: string, attributes?: Record<string, string | number>): void {
    this.#span?.addEvent(name, attributes);
  }

  end(status: number, error?: string): void {
    const { nowMs, startedAtMs, latencyObjectiveMs } = this.#options;
    const isSlow = nowMs() - startedAtMs > slowObjectives * latencyObjectiveMs;
    if (error !== undefined || status >= 500 || isSlow) this.keep();
    if (!this.#span) return;
    this.#span.setAttribute('http.response.status_code', status);
    if (error !== undefined) failSpan(this.#span, error);
    this.#span.end();
  }
}

/** W3C Trace Context, 3.2.2.5: the lowest bit of the flags; the others may be set too. */
function isSampled(traceparent: string | undefined): boolean {
  if (traceparent === undefined) return false;
  const [, flags] = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})(-|$)/.exec(traceparent) ?? [];
  return flags !== undefined && (Number.parseInt(flags, 16) & 1) === 1;
}
