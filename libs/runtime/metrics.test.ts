import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MetricName, metricCatalog, metricNames, prometheusName } from './metricCatalog.ts';
import { type MetricSample, processSamples, renderPrometheus, watchEventLoop } from './metrics.ts';
import { otlpMetricsWanted } from './telemetry.ts';

test.each<[MetricName, string]>([
  ['http.server.request.duration', 'http_server_request_duration_seconds'],
  ['process.cpu.time', 'process_cpu_time_seconds_total'],
  ['process.memory.usage', 'process_memory_usage_bytes'],
  ['nodejs.eventloop.utilization', 'nodejs_eventloop_utilization_ratio'],
  ['nemuri.server.response', 'nemuri_server_response_bytes_total'],
  ['nemuri.server.power', 'nemuri_server_power_watts'],
  ['nemuri.capacity.ready', 'nemuri_capacity_ready_per_second'],
  ['nemuri.servers', 'nemuri_servers'],
])('%s is %s in Prometheus', (name, spelled) => expect(prometheusName(name)).toBe(spelled));

const histogram: MetricSample = {
  name: 'http.server.request.duration',
  labels: { proxy: 'p"1', pool: 'web' },
  value: { bounds: [0.1, 1], counts: [3, 2, 1], sum: 4.5 },
};

test('a family has its help and type once, and buckets add up', () => {
  const text = renderPrometheus([
    { name: 'nemuri.parked', labels: { proxy: 'p1', pool: 'a' }, value: 1 },
    histogram,
    { name: 'nemuri.parked', labels: { proxy: 'p1', pool: 'b' }, value: 2 },
  ]);
  expect(text.split('\n')).toEqual([
    '# HELP nemuri_parked Requests that wait for a server',
    '# TYPE nemuri_parked gauge',
    'nemuri_parked{proxy="p1",pool="a"} 1',
    'nemuri_parked{proxy="p1",pool="b"} 2',
    '# HELP http_server_request_duration_seconds From the arrival of a request to its end, parking included',
    '# TYPE http_server_request_duration_seconds histogram',
    'http_server_request_duration_seconds_bucket{proxy="p\\"1",pool="web",le="0.1"} 3',
    'http_server_request_duration_seconds_bucket{proxy="p\\"1",pool="web",le="1"} 5',
    'http_server_request_duration_seconds_bucket{proxy="p\\"1",pool="web",le="+Inf"} 6',
    'http_server_request_duration_seconds_sum{proxy="p\\"1",pool="web"} 4.5',
    'http_server_request_duration_seconds_count{proxy="p\\"1",pool="web"} 6',
    '',
  ]);
});

const eventLoop = watchEventLoop();
afterAll(() => eventLoop.disable());

test('what every service says of itself is in the catalogue, with its labels', () => {
  const samples = processSamples({ service: 'power', name: 'power', version: '1' }, true, false, eventLoop);
  for (const { name, labels } of samples)
    expect([name, Object.keys(labels)]).toEqual([name, [...metricCatalog[name].labels]]);
  expect(samples.find(({ name }) => name === 'nemuri.bus.connected')?.value).toBe(0);
});

test('every metric of the catalogue is made somewhere', () => {
  const made = ['libs/runtime/metrics.ts', ...filesBelow('services')]
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
  expect(metricNames.filter((name) => !made.includes(`'${name}'`))).toEqual([]);
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => join(folder, path));
}

test.each<[Record<string, string>, boolean]>([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c' }, false],
  [{ OTEL_METRICS_EXPORTER: 'otlp' }, true],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c' }, true],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c', OTEL_METRICS_EXPORTER: 'none' }, false],
  [{ OTEL_METRICS_EXPORTER: 'otlp', OTEL_SDK_DISABLED: 'true' }, false],
])('%j: metrics by OTLP %s', (env, wanted) => expect(otlpMetricsWanted(env)).toBe(wanted));
