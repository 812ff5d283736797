import { trace } from '@opentelemetry/api';
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/**
 * A structured logger (JSON lines on stderr, so that stdout stays free for reports). Each line within a span
 * carries its `trace_id` and `span_id`.
 * @param level one of pino's levels; `silent` writes nothing.
 */
export function createLogger(service: string, name: string, level: string): Logger {
  return pino(
    {
      level,
      base: { service, name, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: () => {
        const span = trace.getActiveSpan()?.spanContext();
        return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
      },
    },
    pino.destination({ dest: 2, sync: false }),
  );
}
