import { ValueType } from '@opentelemetry/api';
import { metrics, resources } from '@opentelemetry/sdk-node';
import { type MetricDefinition, metricCatalog } from './metricCatalog.ts';
import type { HistogramValue, MetricSample } from './metrics.ts';

type HrTime = [number, number];

/**
 * The same samples that Prometheus scrapes, as the OpenTelemetry SDK exports them: cumulative, since `startedAtMs`.
 * Nothing is counted twice for it.
 */
export function metricProducer(
  collect: () => readonly MetricSample[],
  startedAtMs: number,
  nowMs: () => number,
) {
  return {
    collect: async () => {
      const startTime = hrTimeOf(startedAtMs);
      const endTime = hrTimeOf(nowMs());
      const families = new Map<MetricSample['name'], MetricSample[]>();
      for (const sample of collect())
        families.set(sample.name, [...(families.get(sample.name) ?? []), sample]);
      const data = [...families].map(([name, samples]) => {
        const { help, unit, instrument }: MetricDefinition = metricCatalog[name];
        const points = samples.map(({ labels, value }) => ({
          startTime,
          endTime,
          attributes: { ...labels },
          value: typeof value === 'number' ? value : histogramOf(value),
        }));
        return {
          descriptor: { name, description: help, unit, valueType: ValueType.DOUBLE },
          aggregationTemporality: metrics.AggregationTemporality.CUMULATIVE,
          ...kinds[instrument],
          dataPoints: points,
        };
      });
      const scopeMetrics = [{ scope: { name: 'nemuri' }, metrics: data as never[] }];
      return { resourceMetrics: { resource: resources.emptyResource(), scopeMetrics }, errors: [] };
    },
  };
}

const kinds = {
  counter: { dataPointType: metrics.DataPointType.SUM, isMonotonic: true },
  gauge: { dataPointType: metrics.DataPointType.GAUGE },
  histogram: { dataPointType: metrics.DataPointType.HISTOGRAM },
} as const;

function histogramOf({ bounds, counts, sum }: HistogramValue) {
  const count = counts.reduce((total, one) => total + one, 0);
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, count, sum };
}

function hrTimeOf(timeMs: number): HrTime {
  return [Math.floor(timeMs / 1_000), Math.round((timeMs % 1_000) * 1e6)];
}
