import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { node, tracing } from '@opentelemetry/sdk-node';
import { createBench, failureOf, never } from './testing/bench.ts';
import { reply, resetPath, systemPath } from './testing/fakeBmc.ts';

const bench = createBench();
const exporter = new tracing.InMemorySpanExporter();
const provider = new node.NodeTracerProvider({
  spanProcessors: [new tracing.SimpleSpanProcessor(exporter)],
});

beforeAll(async () => {
  provider.register();
  await bench.open();
});
afterEach(async () => {
  await bench.clear();
  exporter.reset();
});
afterAll(async () => {
  await provider.shutdown();
  trace.disable();
  context.disable();
  propagation.disable();
});

const tracer = trace.getTracer('test');

async function traced<T>(call: () => Promise<T>): Promise<T> {
  return tracer.startActiveSpan('wake', async (span) => {
    try {
      return await call();
    } finally {
      span.end();
    }
  });
}

test('each exchange is a client span under the active one, and carries its traceparent', async () => {
  const bmc = await bench.createBmc();
  const driver = bench.createDriver(bmc);
  await traced(() => driver.wake(never));
  const spans = exporter.getFinishedSpans();
  const root = spans.find(({ name }) => name === 'wake');
  const exchanges = spans.filter(({ name }) => name !== 'wake');
  expect(exchanges).toHaveLength(bmc.requests.length);
  expect(
    exchanges.every(({ parentSpanContext }) => parentSpanContext?.spanId === root?.spanContext().spanId),
  ).toBe(true);
  const reset = exchanges.at(-1);
  expect(reset).toMatchObject({
    name: 'redfish POST',
    kind: SpanKind.CLIENT,
    attributes: {
      'http.request.method': 'POST',
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(bmc.url).port),
      'url.path': resetPath,
      'http.response.status_code': 204,
    },
  });
  const { traceId, spanId } = reset?.spanContext() ?? {};
  expect(bmc.requests.at(-1)?.headers.traceparent).toBe(`00-${traceId}-${spanId}-01`);
});

test('a failure is on its span, and no secret is on any', async () => {
  const bmc = await bench.createBmc();
  const driver = bench.createDriver(bmc, { method: { requestTimeoutMs: 200 } });
  bmc.script('GET', systemPath, (_, response) => reply(response, 503), 1);
  await traced(() => failureOf(driver.readPower(never)));
  bmc.script('GET', systemPath, () => {});
  await traced(() => failureOf(driver.readPower(never)));
  const failed = exporter.getFinishedSpans().filter(({ status }) => status.code === SpanStatusCode.ERROR);
  expect(failed.map(({ attributes }) => attributes['error.type'])).toEqual(['503', 'unreachable']);
  const text = JSON.stringify(
    exporter.getFinishedSpans().map(({ name, attributes, events }) => [name, attributes, events]),
  );
  expect(text).not.toMatch(/hunter2|token-1-secret/);
});

test('without an active span nothing is traced', async () => {
  const bmc = await bench.createBmc();
  await bench.createDriver(bmc).readPower(never);
  expect(exporter.getFinishedSpans()).toEqual([]);
  expect(bmc.requests.some(({ headers }) => 'traceparent' in headers)).toBe(false);
});
