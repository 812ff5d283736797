import { scriptedFleet, startMs } from '../../libs/domain/testing/builders.ts';
import { metricCatalog } from '../../libs/runtime/metricCatalog.ts';
import { renderPrometheus } from '../../libs/runtime/metrics.ts';
import { plannerSamples } from './metrics.ts';

test('the fleet in figures, with the labels of the catalogue', () => {
  const script = scriptedFleet();
  script.fact('ServerPoweredOn', {});
  script.fact('ServerBecameHealthy', {});
  script.fact('ServerCordoned', { server: 's2' });
  script.fact('CapacityDecided', { target: ['s1', 's2'], validForMs: 30_000 });
  const samples = plannerSamples(script.fleet, new Map([['WakeTimedOut', 2]]), startMs + 4_000);
  for (const { name, labels } of samples)
    expect([name, Object.keys(labels)]).toEqual([name, [...metricCatalog[name].labels]]);
  const lines = renderPrometheus(samples).split('\n');
  for (const line of [
    'nemuri_servers{pool="web",lifecycle="ready"} 1',
    'nemuri_servers{pool="web",lifecycle="waking"} 2',
    'nemuri_servers_cordoned{pool="web"} 1',
    'nemuri_capacity_ready_per_second{pool="web"} 100',
    'nemuri_planner_target{pool="web"} 2',
    'nemuri_planner_decision_age_seconds{pool="web"} 4',
    'nemuri_planner_lease_seconds{pool="web"} 30',
    'nemuri_events_total{type="WakeTimedOut"} 2',
  ])
    expect(lines).toContain(line);
});
