import { propagation, trace } from '@opentelemetry/api';
import { core, tracing } from '@opentelemetry/sdk-node';
import { createRequestTrace, type RequestTraceOptions } from './requestTrace.ts';

const exporter = new tracing.InMemorySpanExporter();
const provider = new tracing.BasicTracerProvider({
  sampler: new tracing.AlwaysOnSampler(),
  spanProcessors: [new tracing.SimpleSpanProcessor(exporter)],
});

beforeAll(() => {
  trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
});
afterEach(() => exporter.reset());
afterAll(async () => {
  trace.disable();
  propagation.disable();
  await provider.shutdown();
});

const startedAtMs = 1_900_000_000_000;
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const clientSays = (flags: string) => `00-${traceId}-00f067aa0ba902b7-${flags}`;

function request(options: Partial<RequestTraceOptions> = {}) {
  return createRequestTrace({
    method: 'GET',
    target: '/a',
    pool: 'web',
    traceparent: undefined,
    startedAtMs,
    latencyObjectiveMs: 500,
    sampleRatio: 0,
    nowMs: () => startedAtMs + 100,
    ...options,
  });
}

test('an ordinary request that nobody sampled has no span', () => {
  const its = request({ traceparent: clientSays('00') });
  its.end(200);
  expect([its.traceparent, exporter.getFinishedSpans()]).toEqual([undefined, []]);
});

test.each<[string, () => void]>([
  [
    'parked',
    () => {
      const its = request();
      its.keep();
      its.end(200);
    },
  ],
  ['failed by its status', () => request().end(502)],
  ['failed by an error', () => request().end(200, 'broken off')],
  ['slow', () => request({ nowMs: () => startedAtMs + 1_001 }).end(200)],
  ['drawn', () => request({ sampleRatio: 1 }).end(200)],
  ['sampled by its client', () => request({ traceparent: clientSays('01') }).end(200)],
  ['sampled by its client, with other flags', () => request({ traceparent: clientSays('03') }).end(200)],
  [
    'parked though its client does not sample',
    () => {
      const its = request({ traceparent: clientSays('00') });
      its.keep();
      its.end(200);
    },
  ],
])('a request that is %s always has a span, from its arrival', (_name, carry) => {
  carry();
  const [span, ...more] = exporter.getFinishedSpans();
  expect(more).toEqual([]);
  expect(span?.startTime).toEqual([startedAtMs / 1_000, 0]);
  expect(Object.keys(span?.attributes ?? {})).toEqual(
    expect.arrayContaining(['http.request.method', 'url.path', 'http.response.status_code']),
  );
});

test('it is part of its client’s trace', () => {
  request({ traceparent: clientSays('01') }).end(200);
  expect(exporter.getFinishedSpans()[0]?.spanContext().traceId).toBe(traceId);
});
