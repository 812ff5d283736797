import type { DecideMicros } from '../simulation/simulate.ts';
import type { Figures } from '../simulation/world.ts';
import { latenessOf, type Parameters } from './hindsight.ts';
import type { PolicyOutcome, RivalOutcome } from './plannerTasks.ts';
import type { PlotSeries } from './plot.ts';

/** A line of the table. */
export interface Row extends Figures {
  readonly policy: string;
  /** `default`, `published`, `in hindsight`, or what was set. */
  readonly setting: string;
  readonly parameters?: Parameters;
  readonly decideMicros?: DecideMicros;
  readonly simulatedSecondsPerSecond?: number;
}

export interface TraceOutcome {
  readonly trace: string;
  /** The planner, the bounds, and the planner under other settings and conditions. */
  readonly rows: readonly (PolicyOutcome & { readonly policy: string; readonly setting: string })[];
  readonly rivals: Readonly<Record<string, RivalOutcome>>;
}

export function rowsOf(outcome: TraceOutcome): Row[] {
  const tuned = Object.entries(outcome.rivals).flatMap(([policy, { published, best }]): Row[] => [
    { policy, setting: 'published', parameters: published.parameters, ...published.figures },
    ...(best ? [{ policy, setting: 'in hindsight', parameters: best.parameters, ...best.figures }] : []),
  ]);
  return [...outcome.rows, ...tuned];
}

/** Of all rivals tuned in hindsight the one with the least energy. */
export function bestRival(outcome: TraceOutcome): Row | undefined {
  return rowsOf(outcome)
    .filter(({ setting }) => setting === 'in hindsight')
    .sort((a, b) => a.energyWh - b.energyWh)[0];
}

export interface TraceSummary {
  readonly vsOptimal: number;
  readonly lateness: number;
  readonly bestRival: string | null;
  /** Nemuri's energy as a multiple of the best rival's, tuned in hindsight and at most as late. */
  readonly vsBestRival: number | null;
}

/** How the planner with its defaults stands on a series; undefined when it was not run. */
export function summaryOf(outcome: TraceOutcome): TraceSummary | undefined {
  const own = outcome.rows.find(({ policy, setting }) => policy === 'nemuri' && setting === 'default');
  if (!own) return undefined;
  const rival = bestRival(outcome);
  return {
    vsOptimal: own.vsOptimal,
    lateness: latenessOf(own),
    bestRival: rival?.policy ?? null,
    vsBestRival: rival ? Number((own.energyWh / rival.energyWh).toFixed(4)) : null,
  };
}

const share = (value: number) => (value === 0 ? '0' : `${Number((value * 100).toPrecision(3))} %`);

/** A Markdown table of a series. */
export function tableOf(outcome: TraceOutcome): string {
  const lines = rowsOf(outcome).map((row) => {
    const parameters = Object.entries(row.parameters ?? {}).map(([name, value]) => `${name} ${value}`);
    const cells = [
      row.policy,
      row.setting,
      Math.round(row.energyWh).toLocaleString('en-US'),
      row.vsOptimal.toFixed(3),
      row.vsAlwaysOn.toFixed(3),
      share(row.lateFraction),
      share(row.refusedFraction),
      row.cyclesPerServerDay.toFixed(2),
      parameters.join(', '),
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    `### ${outcome.trace}`,
    '',
    '| policy | setting | Wh | vs optimal | vs always on | late | refused | cycles per server and day | parameters |',
    '|---|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

/** The planner at its risk settings, and each rival's frontier. */
export function plotSeriesOf(outcome: TraceOutcome): PlotSeries[] {
  const own = outcome.rows
    .filter(({ policy, setting }) => policy === 'nemuri' && (setting === 'default' || /^risk/.test(setting)))
    .map((row) => ({ lateness: latenessOf(row), vsOptimal: row.vsOptimal, label: row.setting }));
  const frontiers = Object.entries(outcome.rivals).map(([name, { frontier }]): PlotSeries => {
    const points = frontier.map(({ figures }) => ({
      lateness: latenessOf(figures),
      vsOptimal: figures.vsOptimal,
    }));
    return { name, highlighted: false, points };
  });
  return own.length > 0 ? [{ name: 'nemuri', highlighted: true, points: own }, ...frontiers] : frontiers;
}
