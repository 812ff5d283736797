import { wattsOf } from './chapter.ts';
import { armNames } from './options.ts';
import type { RunResult } from './report.ts';

/** Load, capacity and power over time of every run and arm. */
export function csvText(runs: readonly RunResult[]): string {
  const rows = ['seed,faults,arm,second,rps,capacity_rps,servers_awake,watts'];
  for (const { parameters, arms } of runs) {
    for (const name of armNames) {
      for (const point of arms[name]?.points ?? []) {
        const { second, rps, capacityRps, awake } = point;
        rows.push(
          [parameters.seed, parameters.faults, name, second, rps, capacityRps, awake, wattsOf(point)].join(
            ',',
          ),
        );
      }
    }
  }
  return `${rows.join('\n')}\n`;
}
