import { startOtlp } from './otlp.ts';
import { createTraceStore, type TraceStore } from './traces.ts';

const id = (value: number, length: number) => value.toString(16).padStart(length, '0');

interface Some {
  readonly trace?: number;
  readonly parent?: number;
  readonly name?: string;
  readonly startMs?: number;
  readonly events?: readonly string[];
}

/** One span as a service sends it. */
function body(
  span: number,
  { trace = 1, parent, name = 'GET web', startMs = 1_000, events = [] }: Some = {},
) {
  return {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'nemuri-proxy' } }] },
        scopeSpans: [
          {
            spans: [
              {
                traceId: id(trace, 32),
                spanId: id(span, 16),
                ...(parent === undefined ? {} : { parentSpanId: id(parent, 16) }),
                name,
                startTimeUnixNano: `${startMs}000000`,
                endTimeUnixNano: `${startMs + 500}500000`,
                attributes: [
                  { key: 'nemuri.target', value: { arrayValue: { values: [{ stringValue: 's1' }] } } },
                  { key: 'http.response.status_code', value: { intValue: '200' } },
                ],
                events: events.map((event) => ({ timeUnixNano: `${startMs}000000`, name: event })),
                status: { code: 0 },
              },
            ],
          },
        ],
      },
    ],
  };
}

test('spans stand below their parents, whatever comes first', () => {
  const traces = createTraceStore();
  traces.add(body(3, { parent: 2, name: 'wake', startMs: 1_200 }));
  traces.add(body(1, { parent: 99, events: ['parked', 'first byte'] }));
  traces.add(body(4, { parent: 1, name: 'late', startMs: 1_300 }));
  traces.add(body(2, { parent: 1, name: 'decide', startMs: 1_100 }));
  expect(traces.spans(id(1, 32))?.map(({ name }) => name)).toEqual(['GET web', 'decide', 'wake', 'late']);
  expect(traces.list()).toEqual([
    {
      traceId: id(1, 32),
      name: 'GET web',
      startMs: 1_000,
      durationMs: 800.5,
      spans: 4,
      services: ['proxy'],
      failed: false,
      parked: true,
      woke: true,
    },
  ]);
  expect(traces.spans(id(2, 32))).toBeUndefined();
});

test('what is told of a wait outlives the ordinary, and there is an end to both', () => {
  const traces = createTraceStore();
  traces.add(body(1, { trace: 1, events: ['parked'] }));
  for (let trace = 2; trace < 700; trace += 1) traces.add(body(1, { trace, startMs: 1_000 + trace }));
  expect(traces.spans(id(1, 32))).toHaveLength(1);
  expect(traces.spans(id(2, 32))).toBeUndefined();
  expect(traces.spans(id(699, 32))).toHaveLength(1);
  for (let span = 1; span < 700; span += 1) traces.add(body(span, { trace: 9_999 }));
  expect(traces.spans(id(9_999, 32))).toHaveLength(500);
});

describe('the receiver', () => {
  let traces: TraceStore;
  let receiver: Awaited<ReturnType<typeof startOtlp>>;
  beforeEach(async () => {
    traces = createTraceStore();
    receiver = await startOtlp({ host: '127.0.0.1', port: 0 }, traces);
  });
  afterEach(() => receiver.stop());

  const post = (text: string, type = 'application/json') =>
    fetch(`http://127.0.0.1:${receiver.port}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: text,
    });

  test('takes spans as JSON', async () => {
    expect((await post(JSON.stringify(body(1)))).status).toBe(200);
    expect(traces.list()).toHaveLength(1);
  });

  test.each<[string, string, string, number]>([
    ['protobuf', 'x', 'application/x-protobuf', 415],
    ['what is no JSON', '{', 'application/json', 400],
    ['an id that is none', JSON.stringify(body(1)).replaceAll(id(1, 32), '<b>'), 'application/json', 400],
    ['too much', `"${'x'.repeat(5 * 1_024 * 1_024)}"`, 'application/json', 413],
  ])('refuses %s', async (_what, text, type, status) => {
    expect((await post(text, type)).status).toBe(status);
    expect(traces.list()).toEqual([]);
  });
});
