import type { SimulateOptions } from './options.ts';
import { type DecideMicros, roundedMicros, type TimedResult } from './simulate.ts';
import { type Figures, figuresOf, type World } from './world.ts';

/** What `nemuri simulate --json` prints. */
export interface SimulateReport extends Omit<Figures, 'vsOptimal'> {
  readonly policy: string;
  readonly trace: string;
  readonly seed: number;
  readonly requests: number;
  /** null for mixed servers: the clairvoyant bound is known for equal ones only. */
  readonly vsOptimal: number | null;
  readonly wakes: number;
  readonly decideMicros: DecideMicros;
  readonly simulatedSeconds: number;
  readonly simulatedSecondsPerSecond: number;
  readonly servers: number;
  /** What the series asked for above the whole fleet's capacity; it is in no other figure. */
  readonly cappedRequests: number;
  readonly cappedSeconds: number;
}

export function reportOf(run: {
  readonly options: SimulateOptions;
  readonly world: World;
  readonly result: TimedResult;
  readonly wallSeconds: number;
  readonly mixed: boolean;
}): SimulateReport {
  const { options, world, result } = run;
  const figures = figuresOf(result, world);
  return {
    policy: options.policy,
    trace: options.trace,
    seed: options.seed,
    ...figures,
    vsOptimal: run.mixed ? null : figures.vsOptimal,
    requests: result.requests,
    wakes: result.wakes,
    decideMicros: roundedMicros(result.decideMicros),
    simulatedSeconds: result.seconds,
    simulatedSecondsPerSecond: Math.round(result.seconds / Math.max(run.wallSeconds, 1e-6)),
    servers: world.facts.servers,
    cappedRequests: world.cappedRequests,
    cappedSeconds: world.load.cappedSeconds,
  };
}

const percent = (share: number, digits: number) => `${(share * 100).toFixed(digits)} %`;
const whole = (value: number) => Math.round(value).toLocaleString('en-US');

export function reportText(report: SimulateReport): string {
  const optimal = report.vsOptimal === null ? '' : `, ${report.vsOptimal.toFixed(3)} of the optimum`;
  return [
    `policy    ${report.policy} on ${report.trace}, seed ${report.seed}`,
    `energy    ${whole(report.energyWh)} Wh: ${percent(report.vsAlwaysOn, 1)} of always on${optimal}`,
    `requests  ${whole(report.requests)}: ${percent(report.lateFraction, 4)} late, ${percent(report.refusedFraction, 4)} refused`,
    `wakes     ${report.wakes}: ${report.cyclesPerServerDay} a day for each of ${report.servers} servers`,
    `decisions ${report.decideMicros.p50} µs median, ${report.decideMicros.p99} µs 99th percentile`,
    `speed     ${whole(report.simulatedSecondsPerSecond)} simulated seconds a second`,
    ...(report.cappedRequests > 0
      ? [`cut off   ${whole(report.cappedRequests)} requests above the whole fleet's capacity`]
      : []),
  ].join('\n');
}
