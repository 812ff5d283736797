import { type Static, Type } from '@sinclair/typebox';

/** OTLP/HTTP with JSON bodies (opentelemetry-proto 1.x): ids in hex, 64-bit numbers as strings. What is not shown is let through. */
const AnyValue = Type.Object({
  stringValue: Type.Optional(Type.String()),
  intValue: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  doubleValue: Type.Optional(Type.Number()),
  boolValue: Type.Optional(Type.Boolean()),
  arrayValue: Type.Optional(Type.Object({ values: Type.Optional(Type.Array(Type.Unknown())) })),
});
const Attributes = Type.Array(Type.Object({ key: Type.String(), value: Type.Optional(AnyValue) }));
const Nanos = Type.Union([Type.String({ pattern: '^\\d{1,20}$' }), Type.Number({ minimum: 0 })]);
const SpanSchema = Type.Object({
  traceId: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  spanId: Type.String({ pattern: '^[0-9a-f]{16}$' }),
  parentSpanId: Type.Optional(Type.String({ maxLength: 16 })),
  name: Type.String({ maxLength: 1_000 }),
  startTimeUnixNano: Nanos,
  endTimeUnixNano: Nanos,
  attributes: Type.Optional(Attributes),
  events: Type.Optional(
    Type.Array(Type.Object({ timeUnixNano: Nanos, name: Type.String({ maxLength: 1_000 }) })),
  ),
  status: Type.Optional(
    Type.Object({ code: Type.Optional(Type.Unknown()), message: Type.Optional(Type.String()) }),
  ),
});
export const OtlpTracesSchema = Type.Object({
  resourceSpans: Type.Optional(
    Type.Array(
      Type.Object({
        resource: Type.Optional(Type.Object({ attributes: Type.Optional(Attributes) })),
        scopeSpans: Type.Optional(Type.Array(Type.Object({ spans: Type.Optional(Type.Array(SpanSchema)) }))),
      }),
    ),
  ),
});
type OtlpSpan = Static<typeof SpanSchema>;

/** One span as the waterfall shows it. Times are epoch ms with fractions. */
export interface Span {
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly service: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly error?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly events: readonly { readonly timeMs: number; readonly name: string }[];
}

export interface TraceSummary {
  readonly traceId: string;
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly spans: number;
  readonly services: readonly string[];
  readonly failed: boolean;
  /** A request waited in it. */
  readonly parked: boolean;
  /** A server was woken in it. */
  readonly woke: boolean;
}

export interface TraceStore {
  add(body: Static<typeof OtlpTracesSchema>): void;
  /** Those with a wake or a parked request first to be kept; newest first. */
  list(): TraceSummary[];
  /** A trace's spans, a parent before its children, else by their start; undefined: not, or no longer, kept. */
  spans(traceId: string): Span[] | undefined;
}

const maxTraces = 500;
const maxSpans = 500;
const maxAttributes = 32;
const maxTextChars = 500;
const listed = 100;

/** Keeps the last traces. Those that tell of a wait or a wake outlive the ordinary. */
export function createTraceStore(): TraceStore {
  const traces = new Map<string, Map<string, Span>>();

  const makeRoom = () => {
    if (traces.size <= maxTraces) return;
    const ids = [...traces.keys()];
    const ordinary = ids.find((id) => !isTelling([...(traces.get(id)?.values() ?? [])]));
    const first = ordinary ?? ids[0];
    if (first !== undefined) traces.delete(first);
  };
  return {
    add({ resourceSpans = [] }) {
      for (const { resource, scopeSpans = [] } of resourceSpans) {
        const service = textsOf(resource?.attributes)['service.name'] ?? 'unknown';
        for (const span of scopeSpans.flatMap(({ spans = [] }) => spans)) {
          const known = traces.get(span.traceId) ?? new Map<string, Span>();
          if (known.size >= maxSpans) continue;
          known.set(span.spanId, spanOf(span, service));
          if (traces.has(span.traceId)) continue;
          traces.set(span.traceId, known);
          makeRoom();
        }
      }
    },
    list: () =>
      [...traces]
        .map(([traceId, spans]) => summaryOf(traceId, [...spans.values()]))
        .sort((a, b) => b.startMs - a.startMs)
        .slice(0, listed),
    spans(traceId) {
      const known = traces.get(traceId);
      return known && inOrder([...known.values()]);
    },
  };
}

const isParked = (span: Span) => span.events.some(({ name }) => name === 'parked');
const isWake = (span: Span) => span.name === 'wake';

function isTelling(spans: readonly Span[]): boolean {
  return spans.some((span) => isParked(span) || isWake(span) || span.error !== undefined);
}

function summaryOf(traceId: string, spans: readonly Span[]): TraceSummary {
  const [first] = inOrder(spans);
  const startMs = Math.min(...spans.map((span) => span.startMs));
  return {
    traceId,
    name: first?.name ?? '',
    startMs,
    durationMs: Math.max(...spans.map((span) => span.endMs)) - startMs,
    spans: spans.length,
    services: [...new Set(spans.map(({ service }) => service))].sort(),
    failed: spans.some(({ error }) => error !== undefined),
    parked: spans.some(isParked),
    woke: spans.some(isWake),
  };
}

/** Depth first from the roots; what hangs on a span that is not here (yet) is a root. */
function inOrder(spans: readonly Span[]): Span[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const children = new Map<string, Span[]>();
  for (const span of [...spans].sort((a, b) => a.startMs - b.startMs)) {
    const parent = span.parentSpanId !== undefined && ids.has(span.parentSpanId) ? span.parentSpanId : '';
    const known = children.get(parent);
    if (known) known.push(span);
    else children.set(parent, [span]);
  }
  const ordered: Span[] = [];
  const stack = [...(children.get('') ?? [])].reverse();
  for (let span = stack.pop(); span !== undefined; span = stack.pop()) {
    ordered.push(span);
    const own = children.get(span.spanId) ?? [];
    children.delete(span.spanId);
    stack.push(...own.reverse());
  }
  return ordered;
}

const otlpError = 2;

function spanOf(span: OtlpSpan, service: string): Span {
  const { status } = span;
  const isError = status?.code === otlpError || status?.code === 'STATUS_CODE_ERROR';
  return {
    spanId: span.spanId,
    ...(span.parentSpanId ? { parentSpanId: span.parentSpanId } : {}),
    name: span.name,
    service: service.replace(/^nemuri-/, ''),
    startMs: msOf(span.startTimeUnixNano),
    endMs: msOf(span.endTimeUnixNano),
    ...(isError ? { error: status?.message || 'failed' } : {}),
    attributes: textsOf(span.attributes),
    events: (span.events ?? []).map(({ timeUnixNano, name }) => ({ timeMs: msOf(timeUnixNano), name })),
  };
}

function msOf(nanos: string | number): number {
  return Number(nanos) / 1_000_000;
}

function textsOf(attributes: Static<typeof Attributes> = []): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const { key, value } of attributes.slice(0, maxAttributes)) {
    const { stringValue, intValue, doubleValue, boolValue, arrayValue } = value ?? {};
    const plain = stringValue ?? intValue ?? doubleValue ?? boolValue;
    const text = plain === undefined ? JSON.stringify(arrayValue?.values ?? '') : String(plain);
    texts[key] = text.slice(0, maxTextChars);
  }
  return texts;
}
