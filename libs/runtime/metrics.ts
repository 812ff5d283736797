import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { type MetricDefinition, type MetricName, metricCatalog, prometheusName } from './metricCatalog.ts';

/** One value of one metric now. Labels are those of the catalogue. */
export interface MetricSample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | HistogramValue;
}

/** Counts since the start; `counts` has one for each bound and one for what is beyond. */
export interface HistogramValue {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
}

/** A timer this long is what is late: its own time is no delay. */
const delayResolutionMs = 10;

/** Watches how late the event loop is, from now to the end of the process. */
export function watchEventLoop(): IntervalHistogram {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  return delay;
}

/** What every service says of itself and its process. */
export function processSamples(
  about: { readonly service: string; readonly name: string; readonly version: string },
  ready: boolean,
  busConnected: boolean,
  eventLoop: IntervalHistogram,
): MetricSample[] {
  const { service, name, version } = about;
  const { user, system } = process.cpuUsage();
  const { utilization } = performance.eventLoopUtilization();
  return [
    { name: 'nemuri.build.info', labels: { service, name, version }, value: 1 },
    { name: 'nemuri.ready', labels: { service, name }, value: ready ? 1 : 0 },
    { name: 'nemuri.bus.connected', labels: { service, name }, value: busConnected ? 1 : 0 },
    { name: 'process.cpu.time', labels: { cpu_mode: 'user' }, value: user / 1e6 },
    { name: 'process.cpu.time', labels: { cpu_mode: 'system' }, value: system / 1e6 },
    { name: 'process.memory.usage', labels: {}, value: process.memoryUsage.rss() },
    { name: 'v8js.memory.heap.used', labels: {}, value: process.memoryUsage().heapUsed },
    {
      name: 'nodejs.eventloop.delay.p99',
      labels: {},
      value: Math.max(0, eventLoop.percentile(99) / 1e9 - delayResolutionMs / 1e3),
    },
    { name: 'nodejs.eventloop.utilization', labels: {}, value: utilization },
  ];
}

/** Samples as Prometheus reads them (text format 0.0.4). */
export function renderPrometheus(samples: readonly MetricSample[]): string {
  const families = new Map<MetricName, MetricSample[]>();
  for (const sample of samples) {
    const family = families.get(sample.name);
    if (family) family.push(sample);
    else families.set(sample.name, [sample]);
  }
  const lines = [...families].flatMap(([name, its]) => {
    const { help, instrument }: MetricDefinition = metricCatalog[name];
    const spelled = prometheusName(name);
    return [
      `# HELP ${spelled} ${help}`,
      `# TYPE ${spelled} ${instrument}`,
      ...its.flatMap((sample) => sampleLines(spelled, sample)),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function sampleLines(name: string, { labels, value }: MetricSample): string[] {
  if (typeof value === 'number') return [`${name}${labelText(labels)} ${value}`];
  let count = 0;
  const buckets = [...value.bounds, Number.POSITIVE_INFINITY].map((bound, index) => {
    count += value.counts[index] ?? 0;
    const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound);
    return `${name}_bucket${labelText({ ...labels, le })} ${count}`;
  });
  return [
    ...buckets,
    `${name}_sum${labelText(labels)} ${value.sum}`,
    `${name}_count${labelText(labels)} ${count}`,
  ];
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
