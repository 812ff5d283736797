import {
  type Attributes,
  type Context,
  type ContextManager,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { messageOf } from './errors.ts';
import type { MetricSample } from './metrics.ts';

export interface Telemetry {
  /** Whether spans go anywhere. False: nothing of the SDK is even loaded. */
  readonly enabled: boolean;
  /** Sends what is pending; bounded by the exporter's own time-out. */
  stop(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Tracing is on when one of the standard `OTEL_*` variables names an exporter or its endpoint. */
export function tracingWanted(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || env.OTEL_TRACES_EXPORTER === 'none') return false;
  return Boolean(
    env.OTEL_TRACES_EXPORTER || env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
  );
}

/** Metrics go out by OTLP when they are asked for by name: whoever scrapes Prometheus needs no second copy. */
export function otlpMetricsWanted(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || env.OTEL_METRICS_EXPORTER === 'none') return false;
  return env.OTEL_METRICS_EXPORTER === 'otlp' || Boolean(env.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT);
}

/**
 * Starts the OpenTelemetry SDK when the environment asks for it. Nothing is instrumented by itself: on the request
 * path a span made and thrown away costs more than the request.
 * @param collect every metric of this process now.
 */
export async function startTelemetry(
  service: string,
  env: Environment = process.env,
  collect: () => readonly MetricSample[] = () => [],
): Promise<Telemetry> {
  const traces = tracingWanted(env);
  const metering = otlpMetricsWanted(env);
  if (!traces && !metering) return { enabled: false, stop: async () => {} };
  if (!traces) process.env.OTEL_TRACES_EXPORTER = 'none';
  process.env.OTEL_METRICS_EXPORTER = 'none';
  process.env.OTEL_LOGS_EXPORTER ??= 'none';
  const { NodeSDK, tracing } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({
    // What gets a span is decided before there is one; a client that does not sample must not hide a parked request.
    ...(env.OTEL_TRACES_SAMPLER ? {} : { sampler: new tracing.AlwaysOnSampler() }),
    serviceName: env.OTEL_SERVICE_NAME ?? `nemuri-${service}`,
    instrumentations: [],
    ...(service === 'proxy' ? { contextManager: noContext } : {}),
    ...(metering ? { metricReaders: [await otlpReader(env, collect)] } : {}),
  });
  sdk.start();
  return { enabled: traces, stop: () => sdk.shutdown().catch(() => {}) };
}

/**
 * The proxy hands its spans on itself. Asynchronous context, once the exporter has used it, costs every promise of the
 * process: a fifth of a request on Node 20.
 */
const noContext: ContextManager = {
  active: () => ROOT_CONTEXT,
  with: (_context, work, self, ...args) => work.apply(self as ThisParameterType<typeof work>, args),
  bind: (_context, target) => target,
  enable: () => noContext,
  disable: () => noContext,
};

const defaultExportIntervalMs = 60_000;

async function otlpReader(env: Environment, collect: () => readonly MetricSample[]) {
  const { metrics } = await import('@opentelemetry/sdk-node');
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto');
  const { metricProducer } = await import('./otlpMetrics.ts');
  const exportIntervalMillis = Number(env.OTEL_METRIC_EXPORT_INTERVAL) || defaultExportIntervalMs;
  return new metrics.PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    exportIntervalMillis,
    exportTimeoutMillis: Math.min(exportIntervalMillis, Number(env.OTEL_METRIC_EXPORT_TIMEOUT) || 30_000),
    metricProducers: [metricProducer(collect, Date.now(), Date.now)],
  });
}

const tracer = () => trace.getTracer('nemuri');

/** The context that a W3C `traceparent` names; the root without one. */
export function contextOf(traceparent: string | undefined): Context {
  return traceparent ? propagation.extract(ROOT_CONTEXT, { traceparent }) : ROOT_CONTEXT;
}

/** The W3C `traceparent` of a span, as an event or a request carries it; nothing when the span is not recorded. */
export function traceparentOf(span: Span | undefined): { traceparent?: string } {
  if (!span?.isRecording()) return {};
  const { traceId, spanId, traceFlags } = span.spanContext();
  return { traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}` };
}

/** A span under `traceparent`, begun at `startTimeMs` (epoch ms; default now). The caller ends it. */
export function beginSpan(
  name: string,
  traceparent: string | undefined,
  attributes: Attributes = {},
  startTimeMs?: number,
): Span {
  const options = startTimeMs === undefined ? { attributes } : { attributes, startTime: startTimeMs };
  return tracer().startSpan(name, options, contextOf(traceparent));
}

/** Runs `work` within a span under `traceparent`, so that what it calls becomes its child. Failures are marked on it. */
export async function withSpan<T>(
  name: string,
  traceparent: string | undefined,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const span = beginSpan(name, traceparent, attributes);
  try {
    return await context.with(trace.setSpan(contextOf(traceparent), span), () => work(span));
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}

export function failSpan(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
}
