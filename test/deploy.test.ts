import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { isEventType } from '../libs/events/mod.ts';
import {
  type MetricDefinition,
  metricCatalog,
  metricNames,
  prometheusName,
} from '../libs/runtime/metricCatalog.ts';

/** What deploy/ says of the code: metrics, commands, ports, variables. */

const byName = new Map<string, MetricDefinition>(
  metricNames.flatMap((name): [string, MetricDefinition][] => {
    const definition: MetricDefinition = metricCatalog[name];
    const spelled = prometheusName(name);
    return definition.instrument === 'histogram'
      ? ['_bucket', '_sum', '_count'].map((suffix) => [`${spelled}${suffix}`, definition])
      : [[spelled, definition]];
  }),
);
/** Of Prometheus itself. */
const builtIn: Readonly<Record<string, readonly string[]>> = { up: ['job', 'instance'] };
const ofEverySeries = ['job', 'instance', 'le'];

/** What a PromQL expression names that there is not: metrics, labels in selectors and in `by`, types of events. */
function unknownIn(expression: string): string[] {
  const plain = expression.replace(/"[^"]*"/g, '""');
  const names = [...plain.matchAll(/\b((?:nemuri|http|process|nodejs)_\w+|up)\b/g)].map(
    ([, name = '']) => name,
  );
  const known = names.flatMap((name) => byName.get(name)?.labels ?? builtIn[name] ?? []);
  const labels = [...plain.matchAll(/\{([^}]*)\}|\bby \(([^)]*)\)/g)].flatMap(([, selector, by]) =>
    (selector ?? by ?? '').split(',').map((part) => part.split(/[=!~]/)[0]?.trim() ?? ''),
  );
  const types = [...expression.matchAll(/type=~?"([^"]+)"/g)].flatMap(([, list = '']) => list.split('|'));
  return [
    ...names.filter((name) => !byName.has(name) && !Object.hasOwn(builtIn, name)),
    ...labels.filter((label) => label !== '' && ![...known, ...ofEverySeries].includes(label)),
    ...types.filter((type) => !isEventType(type)),
  ];
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly summary: string };
    }[];
  }[];
}

test('every alert rule rests on metrics, labels and events that there are', () => {
  const { groups } = parse(readFileSync('deploy/prometheus/alerts.yaml', 'utf8')) as Rules;
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(8);
  expect(rules.flatMap(({ alert, expr }) => unknownIn(expr).map((word) => `${alert}: ${word}`))).toEqual([]);
});

test('every panel of the dashboard rests on metrics and labels that there are', () => {
  const { panels, templating } = JSON.parse(readFileSync('deploy/grafana/nemuri.json', 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[];
    templating: { list: { name: string; query: string }[] };
  };
  const problems = panels.flatMap(({ title, targets }) =>
    targets.flatMap(({ expr }) => unknownIn(expr).map((word) => `${title}: ${word}`)),
  );
  expect([panels.length > 10, problems]).toEqual([true, []]);
  const variable = templating.list.find(({ name }) => name === 'pool');
  expect(variable?.query).toMatch(/^label_values\((\w+), pool\)$/);
  expect(byName.has(/\((\w+),/.exec(variable?.query ?? '')?.[1] ?? '')).toBe(true);
});

test('an unknown metric, label or event is found', () => {
  expect(unknownIn('nemuri_parkd > 0')).toEqual(['nemuri_parkd']);
  expect(unknownIn('sum by (rack) (nemuri_parked{pool="x",colour="y"})')).toEqual(['rack', 'colour']);
  expect(unknownIn('nemuri_events_total{type="ServerWentAway"}')).toEqual(['ServerWentAway']);
  expect(unknownIn('up{job="nemuri"} == 0')).toEqual([]);
});
