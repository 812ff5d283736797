import type { Gate, Upstream } from './gate.ts';
import { latencyBoundsSeconds, type Totals } from './load.ts';
import type { Vitals } from './vitals.ts';

/**
 * What the proxy has carried since it started, as Prometheus reads it (text format 0.0.4). All are counters or
 * gauges with fixed histogram buckets, so that several proxies add up.
 */
export function renderMetrics(proxy: string, gates: Iterable<Gate>, vitals: Vitals): string {
  const lines: string[] = [];
  const all = [...gates];
  const family = (
    name: string,
    type: 'counter' | 'gauge' | 'histogram',
    help: string,
    samplesOf: (name: string) => string[],
  ) => lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samplesOf(name));
  const ofPools = (count: (gate: Gate) => number) => (name: string) =>
    all.map((gate) => `${name}${labels({ proxy, pool: gate.pool })} ${count(gate)}`);
  const ofServers = (count: (upstream: Upstream) => number) => (name: string) =>
    all.flatMap(({ pool, upstreams }) =>
      upstreams.map(
        (upstream) => `${name}${labels({ proxy, pool, server: upstream.name })} ${count(upstream)}`,
      ),
    );
  const ofErrors = (name: string) =>
    all.flatMap(({ pool, upstreams }) =>
      upstreams.flatMap(({ name: server, meter }) =>
        Object.entries(meter.totals.errors).map(
          ([kind, count]) => `${name}${labels({ proxy, pool, server, kind })} ${count}`,
        ),
      ),
    );
  const ofLatencies = (name: string) =>
    all.flatMap(({ pool, meter }) => histogram(name, { proxy, pool }, meter.totals));

  family(
    'nemuri_parked',
    'gauge',
    'Requests that wait for a server',
    ofPools(({ parking }) => parking.count),
  );
  family(
    'nemuri_in_flight',
    'gauge',
    'Requests sent to a server and not finished',
    ofServers(({ inFlight }) => inFlight),
  );
  const ended = 'Requests that came to an end';
  family(
    'nemuri_pool_requests_total',
    'counter',
    ended,
    ofPools(({ meter }) => meter.totals.completed),
  );
  const notServed = 'Requests that were not served';
  family(
    'nemuri_pool_failed_total',
    'counter',
    notServed,
    ofPools(({ meter }) => meter.totals.failed),
  );
  const attempts = 'Attempts that came to an end';
  family(
    'nemuri_server_requests_total',
    'counter',
    attempts,
    ofServers(({ meter }) => meter.totals.completed),
  );
  const failed = 'Attempts that failed';
  family(
    'nemuri_server_failed_total',
    'counter',
    failed,
    ofServers(({ meter }) => meter.totals.failed),
  );
  const bytes = 'Body bytes that came from a server';
  family(
    'nemuri_server_response_bytes_total',
    'counter',
    bytes,
    ofServers(({ meter }) => meter.totals.responseBytes),
  );
  family(
    'nemuri_server_request_bytes_total',
    'counter',
    'Body bytes that were sent to a server, repeated ones included',
    ofServers(({ meter }) => meter.totals.requestBytes),
  );
  family('nemuri_server_errors_total', 'counter', 'Failed attempts by what went wrong', ofErrors);
  family('nemuri_request_seconds', 'histogram', 'From the arrival of a request to its end', ofLatencies);
  family('nemuri_server_seconds', 'histogram', 'From an attempt to its end', (name) =>
    all.flatMap(({ pool, upstreams }) =>
      upstreams.flatMap((upstream) =>
        histogram(name, { proxy, pool, server: upstream.name }, upstream.meter.totals),
      ),
    ),
  );
  const ofWorker = (value: number) => (name: string) => [`${name}${labels({ proxy })} ${value}`];
  const delay = 'Delay of the event loop since the start, 99th percentile';
  family('nemuri_event_loop_delay_p99_seconds', 'gauge', delay, ofWorker(vitals.eventLoopP99Seconds()));
  family('nemuri_heap_used_bytes', 'gauge', 'JavaScript heap in use', ofWorker(vitals.heapBytes()));
  family('nemuri_resident_bytes', 'gauge', 'Memory of the process', ofWorker(vitals.residentBytes()));
  return `${lines.join('\n')}\n`;
}

/** Names are DNS labels by the configuration's schema: nothing in them needs escaping. */
function labels(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values).map(([name, value]) => `${name}="${value}"`);
  return `{${pairs.join(',')}}`;
}

function histogram(name: string, own: Readonly<Record<string, string>>, totals: Totals): string[] {
  let count = 0;
  const buckets = [...latencyBoundsSeconds, Number.POSITIVE_INFINITY].map((bound, index) => {
    count += totals.latencyBuckets[index] ?? 0;
    const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound);
    return `${name}_bucket${labels({ ...own, le })} ${count}`;
  });
  return [
    ...buckets,
    `${name}_sum${labels(own)} ${totals.latencySumMs / 1_000}`,
    `${name}_count${labels(own)} ${count}`,
  ];
}
