import type { HistogramValue, MetricSample } from '../../libs/runtime/metrics.ts';
import type { Gate } from './gate.ts';
import { latencyBoundsSeconds, type Totals } from './load.ts';

/**
 * What the proxy has carried since it started. All are counters or gauges, the histogram with fixed buckets, so that
 * several proxies add up.
 */
export function proxySamples(
  proxy: string,
  gates: Iterable<Gate>,
  refusedConnections: number,
): MetricSample[] {
  return [
    { name: 'nemuri.proxy.connections.refused', labels: { proxy }, value: refusedConnections },
    ...[...gates].flatMap((gate) => [...poolSamples(proxy, gate), ...serverSamples(proxy, gate)]),
  ];
}

function poolSamples(proxy: string, { pool, parking, meter: { totals } }: Gate): MetricSample[] {
  const labels = { proxy, pool };
  return [
    { name: 'http.server.request.duration', labels, value: durations(totals) },
    { name: 'nemuri.parked', labels, value: parking.count },
    { name: 'nemuri.pool.requests', labels, value: totals.completed },
    { name: 'nemuri.pool.failed', labels, value: totals.failed },
  ];
}

function serverSamples(proxy: string, { pool, upstreams }: Gate): MetricSample[] {
  return upstreams.flatMap(({ name: server, inFlight, meter: { totals } }): MetricSample[] => {
    const labels = { proxy, pool, server };
    const errors = Object.entries(totals.errors);
    return [
      { name: 'http.client.active_requests', labels, value: inFlight },
      { name: 'nemuri.server.requests', labels, value: totals.completed },
      { name: 'nemuri.server.failed', labels, value: totals.failed },
      { name: 'http.client.request.duration', labels, value: durations(totals) },
      { name: 'nemuri.server.request', labels, value: totals.requestBytes },
      { name: 'nemuri.server.response', labels, value: totals.responseBytes },
      ...errors.map(
        ([kind, value]): MetricSample => ({
          name: 'nemuri.server.errors',
          labels: { ...labels, kind },
          value,
        }),
      ),
    ];
  });
}

function durations(totals: Totals): HistogramValue {
  return {
    bounds: latencyBoundsSeconds,
    counts: [...totals.latencyBuckets],
    sum: totals.latencySumMs / 1_000,
  };
}
