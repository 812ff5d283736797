/**
 * Every metric Nemuri has, by its OpenTelemetry name: that of the semantic conventions where there is one
 * (http.*, process.*, nodejs.*). Units are UCUM. Prometheus' names follow from these (`prometheusName`).
 */

export type Instrument = 'counter' | 'gauge' | 'histogram';

export interface MetricDefinition {
  readonly instrument: Instrument;
  readonly unit: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Which service has it. */
  readonly of: 'all' | 'proxy' | 'planner' | 'power' | 'health';
}

const define = <D extends MetricDefinition>(definition: D): D => definition;

export const metricCatalog = {
  'nemuri.build.info': define({
    instrument: 'gauge',
    unit: '',
    help: 'Always 1; the version is a label',
    labels: ['service', 'name', 'version'],
    of: 'all',
  }),
  'nemuri.ready': define({
    instrument: 'gauge',
    unit: '',
    help: '1 when the service can do its work, as /readyz says',
    labels: ['service', 'name'],
    of: 'all',
  }),
  'nemuri.bus.connected': define({
    instrument: 'gauge',
    unit: '',
    help: '1 while the bus can be reached',
    labels: ['service', 'name'],
    of: 'all',
  }),
  'process.cpu.time': define({
    instrument: 'counter',
    unit: 's',
    help: 'CPU time of the process',
    labels: ['cpu_mode'],
    of: 'all',
  }),
  'process.memory.usage': define({
    instrument: 'gauge',
    unit: 'By',
    help: 'Resident memory of the process',
    labels: [],
    of: 'all',
  }),
  'nodejs.eventloop.utilization': define({
    instrument: 'gauge',
    unit: '1',
    help: 'Share of the time since the start in which the event loop was busy',
    labels: [],
    of: 'all',
  }),
  'nodejs.eventloop.delay.p99': define({
    instrument: 'gauge',
    unit: 's',
    help: 'Delay of the event loop since the start, 99th percentile',
    labels: [],
    of: 'all',
  }),
  'v8js.memory.heap.used': define({
    instrument: 'gauge',
    unit: 'By',
    help: 'JavaScript heap in use',
    labels: [],
    of: 'all',
  }),
  'http.server.request.duration': define({
    instrument: 'histogram',
    unit: 's',
    help: 'From the arrival of a request to its end, parking included',
    labels: ['proxy', 'pool'],
    of: 'proxy',
  }),
  'http.client.request.duration': define({
    instrument: 'histogram',
    unit: 's',
    help: 'From an attempt at a server to its end',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'http.client.active_requests': define({
    instrument: 'gauge',
    unit: '{request}',
    help: 'In flight: requests sent to a server and not finished',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'nemuri.proxy.connections.refused': define({
    instrument: 'counter',
    unit: '{connection}',
    help: 'Connections of clients closed at once, because proxy.maxConnections were open',
    labels: ['proxy'],
    of: 'proxy',
  }),
  'nemuri.parked': define({
    instrument: 'gauge',
    unit: '{request}',
    help: 'Requests that wait for a server',
    labels: ['proxy', 'pool'],
    of: 'proxy',
  }),
  'nemuri.pool.requests': define({
    instrument: 'counter',
    unit: '{request}',
    help: 'Requests that came to an end',
    labels: ['proxy', 'pool'],
    of: 'proxy',
  }),
  'nemuri.pool.failed': define({
    instrument: 'counter',
    unit: '{request}',
    help: 'Requests that were not served',
    labels: ['proxy', 'pool'],
    of: 'proxy',
  }),
  'nemuri.server.requests': define({
    instrument: 'counter',
    unit: '{request}',
    help: 'Attempts that came to an end',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'nemuri.server.failed': define({
    instrument: 'counter',
    unit: '{request}',
    help: 'Attempts that failed',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'nemuri.server.request': define({
    instrument: 'counter',
    unit: 'By',
    help: 'Body bytes that were sent to a server, repeated ones included',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'nemuri.server.response': define({
    instrument: 'counter',
    unit: 'By',
    help: 'Body bytes that came from a server',
    labels: ['proxy', 'pool', 'server'],
    of: 'proxy',
  }),
  'nemuri.server.errors': define({
    instrument: 'counter',
    unit: '{request}',
    help: 'Failed attempts by what went wrong',
    labels: ['proxy', 'pool', 'server', 'kind'],
    of: 'proxy',
  }),
  'nemuri.servers': define({
    instrument: 'gauge',
    unit: '{server}',
    help: 'Servers by lifecycle',
    labels: ['pool', 'lifecycle'],
    of: 'planner',
  }),
  'nemuri.servers.unhealthy': define({
    instrument: 'gauge',
    unit: '{server}',
    help: 'Servers that are awake and unhealthy',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.servers.cordoned': define({
    instrument: 'gauge',
    unit: '{server}',
    help: 'Servers that the operator took out',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.capacity.ready': define({
    instrument: 'gauge',
    unit: '{request}/s',
    help: 'What the servers that are ready sustain',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.planner.target': define({
    instrument: 'gauge',
    unit: '{server}',
    help: 'Servers that the last decision wants awake',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.planner.decision_age': define({
    instrument: 'gauge',
    unit: 's',
    help: 'Since the last decision',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.planner.lease': define({
    instrument: 'gauge',
    unit: 's',
    help: 'How old the last decision may become; beyond, no server sleeps',
    labels: ['pool'],
    of: 'planner',
  }),
  'nemuri.events': define({
    instrument: 'counter',
    unit: '{event}',
    help: 'Events of the history, by type, since this process started',
    labels: ['type'],
    of: 'planner',
  }),
  'nemuri.server.power': define({
    instrument: 'gauge',
    unit: 'W',
    help: 'Last reading of a server; source is measured or modelled',
    labels: ['pool', 'server', 'source'],
    of: 'power',
  }),
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricName = keyof typeof metricCatalog;
export const metricNames = Object.keys(metricCatalog) as MetricName[];

const unitSuffixes: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes', W: '_watts' };

/**
 * The name in Prometheus (OpenTelemetry specification, compatibility with Prometheus): dots become underscores, the
 * unit is spelled at the end, a counter ends in _total, a share in _ratio.
 */
export function prometheusName(name: MetricName): string {
  const { unit, instrument }: MetricDefinition = metricCatalog[name];
  const perSecond = unit.endsWith('/s') ? '_per_second' : '';
  const ratio = unit === '1' && instrument === 'gauge' ? '_ratio' : '';
  const total = instrument === 'counter' ? '_total' : '';
  return `${name.replaceAll('.', '_')}${unitSuffixes[unit] ?? ''}${perSecond}${ratio}${total}`;
}
