import {
  type MetricDefinition,
  metricCatalog,
  metricNames,
  prometheusName,
} from '../../libs/runtime/metricCatalog.ts';
import { table } from './schemaText.ts';

/** docs/reference/metrics.md. */
export function renderMetricsPage(): string {
  const rows = metricNames.map((name) => {
    const { instrument, unit, help, labels, of }: MetricDefinition = metricCatalog[name];
    return [`\`${prometheusName(name)}\``, `\`${name}\``, instrument, unit, of, labels.join(', '), help];
  });
  return `# Metrics: every one

Made from libs/runtime/metricCatalog.ts by \`npm run docs\`. Each service has its own at \`/metrics\` of its admin address (Prometheus), and sends the same by OTLP when \`OTEL_METRICS_EXPORTER=otlp\` or \`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT\` is set. Names are those of OpenTelemetry's semantic conventions where there is one. [deploy/prometheus](../../deploy/prometheus/alerts.yaml) has alert rules, [deploy/grafana](../../deploy/grafana/nemuri.json) a dashboard.

${table(['in Prometheus', 'in OpenTelemetry', 'kind', 'unit', 'of', 'labels', 'meaning'], rows)}
`;
}
