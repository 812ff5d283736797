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
  readonly path: string;
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
  let span: Span | undefined;
  const keep = () => {
    span ??= beginSpan(
      `${options.method} ${options.pool}`,
      options.traceparent,
      {
        'http.request.method': options.method,
        'url.path': options.path,
        'nemuri.pool': options.pool,
      },
      options.startedAtMs,
    );
  };
  if (isSampled(options.traceparent) || Math.random() < options.sampleRatio) keep();
  return {
    keep,
    get traceparent() {
      return traceparentOf(span).traceparent;
    },
    event(name, attributes) {
      span?.addEvent(name, attributes);
    },
    end(status, error) {
      const slow = options.nowMs() - options.startedAtMs > slowObjectives * options.latencyObjectiveMs;
      if (error !== undefined || status >= 500 || slow) keep();
      if (!span) return;
      span.setAttribute('http.response.status_code', status);
      if (error !== undefined) failSpan(span, error);
      span.end();
    },
  };
}

/** W3C Trace Context, 3.2.2.5: the lowest bit of the flags; the others may be set too. */
function isSampled(traceparent: string | undefined): boolean {
  const [, flags] = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})(-|$)/.exec(traceparent ?? '') ?? [];
  return flags !== undefined && (Number.parseInt(flags, 16) & 1) === 1;
}
