import type { RecordedEvent } from '../../libs/events/mod.ts';

/** One fact of the history as a line of the page. */
export interface Said {
  readonly sequence: number;
  readonly timeMs: number;
  readonly type: RecordedEvent['type'];
  readonly server?: string;
  readonly pool?: string;
  /** The fact's own sentence: a reason, an evidence, an error. */
  readonly text?: string;
  readonly by?: string;
  readonly traceId?: string;
}

/** The line of one fact. Pure. */
export function saidOf(event: RecordedEvent): Said {
  const data = event.data as Readonly<Record<string, unknown>>;
  const text = ['reason', 'evidence', 'verdict', 'error'].map((key) => data[key]).find(isText);
  const traceId = event.traceparent?.split('-')[1];
  return {
    sequence: event.sequence,
    timeMs: event.timeMs,
    type: event.type,
    ...(isText(data.server) ? { server: data.server } : {}),
    ...(isText(data.pool) ? { pool: data.pool } : {}),
    ...(text === undefined ? {} : { text }),
    ...(isText(data.by) ? { by: data.by } : {}),
    ...(traceId === undefined ? {} : { traceId }),
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
