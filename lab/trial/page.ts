import { type Point, wattsOf } from './chapter.ts';
import { barsSvg, chartSvg, escaped, type Line } from './charts.ts';
import { bucketBoundMs } from './latencyBuckets.ts';
import type { Optimum } from './optimum.ts';
import { type ArmName, armNames } from './options.ts';
import { wordsFor } from './ownWords.ts';
import type { RunResult, TrialReport } from './report.ts';
import { type ArmResult, kWhText, modelledPercent, usedWh } from './result.ts';
import {
  checksTable,
  conditionsTable,
  faultsTable,
  figuresTable,
  leaksTable,
  machinesTable,
} from './tables.ts';
import { armLabels, filled, type Language, type Words, wordsOf } from './words.ts';

export const colours: Readonly<Record<ArmName | 'optimum' | 'load' | 'control', string>> = {
  alwaysOn: '#9b9a97',
  reactive: '#d9730d',
  nemuri: '#0b6e99',
  optimum: '#0f7b6c',
  load: '#37352f',
  control: '#6940a5',
};

const secondsPerDay = 86_400;
/** More points than this a line are averaged: nobody sees them apart. */
const mostPoints = 700;

/**
 * The report as one HTML file: no script is needed to read it, nothing is fetched. Both languages are in it; a switch
 * at its top (or `#ja` in the address) shows one.
 */
export function pageHtml(report: TrialReport, optima: readonly Optimum[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(wordsOf.en.title)}</title>
<style>${style}</style></head><body>
<input type="radio" name="language" id="to-en" checked><input type="radio" name="language" id="to-ja">
<nav><label for="to-en">English</label><label for="to-ja">日本語</label></nav>
${(['en', 'ja'] as const).map((language) => `<main lang="${language}" class="${language}">${contentHtml(report, optima, language)}</main>`).join('\n')}
<script>if (location.hash === '#ja') document.getElementById('to-ja').checked = true;</script>
</body></html>
`;
}

const style = `
:root{--text:#37352f;--soft:#6b6a67;--line:#e3e2e0}
*{box-sizing:border-box}
body{margin:0;font:15px/1.6 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK JP","Noto Sans JP","Hiragino Sans","Yu Gothic",sans-serif;color:var(--text);background:#fff}
main{max-width:1000px;margin:0 auto;padding:8px 20px 60px}
input[name=language]{position:absolute;opacity:0}
nav{max-width:1000px;margin:0 auto;padding:14px 20px 0;text-align:right}
nav label{cursor:pointer;padding:3px 10px;border:1px solid var(--line);border-radius:4px;margin-left:6px}
#to-en:checked~nav label[for=to-en],#to-ja:checked~nav label[for=to-ja]{background:var(--text);color:#fff}
#to-en:checked~.ja,#to-ja:checked~.en{display:none}
h1{font-size:30px;margin:4px 0 8px}h2{font-size:20px;margin:44px 0 6px;border-top:1px solid var(--line);padding-top:20px}h3{font-size:16px;margin:26px 0 4px}
p{margin:6px 0;max-width:92ch}p.note{color:var(--soft);font-size:13.5px}
.headline{display:flex;gap:28px;align-items:baseline;margin:22px 0 4px;flex-wrap:wrap}
.headline b{font-size:56px;line-height:1;color:#0b6e99}.headline span{font-size:20px}
svg{width:100%;height:auto;display:block;margin:10px 0;font:13px system-ui,"Noto Sans","Noto Sans CJK JP","Noto Sans JP",sans-serif}
svg text{fill:#37352f}.g{stroke:#e9e8e6}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:10px 0;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);white-space:nowrap}th:first-child,td:first-child,td.l,th.l{text-align:left}
td.bad{color:#b0253a;font-weight:600}td.good{color:#0f7b6c}
li{margin:6px 0;max-width:96ch}
@media print{nav{display:none}}
`;

function contentHtml(report: TrialReport, optima: readonly Optimum[], language: Language): string {
  const words = wordsFor(language, report.runs.some(isOwn));
  return [
    `<h1>${escaped(words.title)}</h1><p>${escaped(words.lead)}</p>`,
    headlineHtml(report, words),
    ...report.runs.map((run, index) => runHtml(run, optima[index], language)),
    `<h2>${escaped(words.checks)}</h2>${checksTable(report.checks, words)}`,
    limitsHtml(report, words),
    `<h2>${escaped(words.conditions)}</h2>${report.runs.map((run) => conditionsTable(run, words)).join('')}`,
  ].join('\n');
}

function isOwn({ parameters }: RunResult): boolean {
  return parameters.own !== undefined;
}

function headlineHtml({ savedPercent, savedOfOptimumPercent, runs }: TrialReport, words: Words): string {
  const plain = runs.filter(({ parameters }) => !parameters.faults);
  const shown = plain.length > 0 ? plain : runs;
  const mean = savedPercent?.mean ?? shown[0]?.savings?.nemuri;
  if (mean === undefined) return '';
  const nemuri = shown.flatMap(({ arms }) => (arms.nemuri ? [arms.nemuri] : []));
  const sum = (of: (arm: ArmResult) => number) => nemuri.reduce((total, arm) => total + of(arm), 0);
  const half = savedPercent?.halfWidth;
  const interval =
    half === null || half === undefined
      ? filled(words.headlineOne, { mean: mean.toFixed(1) })
      : filled(words.headlineInterval, {
          mean: mean.toFixed(1),
          half: half.toFixed(1),
          count: savedPercent?.values.length ?? 0,
        });
  const optimum = shown.reduce((total, { savings }) => total + (savings?.optimum ?? 0), 0) / shown.length;
  const lines = [
    interval,
    ...(savedOfOptimumPercent
      ? [
          filled(words.ofOptimum, {
            share: savedOfOptimumPercent.mean.toFixed(1),
            optimum: optimum.toFixed(1),
          }),
        ]
      : []),
    filled(words.lossless, {
      requests: sum(({ requests }) => requests).toLocaleString('en-US'),
      failed: sum(({ failed }) => failed),
      late: (
        (sum(({ late }) => late) /
          Math.max(
            1,
            sum(({ requests }) => requests),
          )) *
        100
      ).toFixed(3),
    }),
  ];
  return `<div class="headline"><b>${mean.toFixed(1)} %</b><span>${escaped(words.headline)}</span></div>
${lines.map((line) => `<p>${escaped(line)}</p>`).join('\n')}`;
}

function armsOf({ arms }: RunResult): ArmResult[] {
  return armNames.flatMap((name) => arms[name] ?? []);
}

function runHtml(run: RunResult, optimum: Optimum | undefined, language: Language): string {
  const words = wordsFor(language, isOwn(run));
  const labels = armLabels[language];
  const { parameters, seconds } = run;
  const arms = armsOf(run);
  const title = filled(words.run, { seed: parameters.seed }) + (parameters.faults ? words.withFaults : '');
  const days = {
    days: (seconds / secondsPerDay).toFixed(seconds < secondsPerDay ? 2 : 1),
    ...ownFigures(run),
  };
  const again = Math.max(...arms.map(({ segments }) => segments)) - 1;
  const bars = [
    ...arms.map((arm) => barOf(labels[arm.arm], arm.arm, energyOf(arm), arms)),
    // By a model alone it has no place beside what was measured.
    ...(isOwn(run) ? [] : [barOf(words.optimum, 'optimum', run.optimum.energyWh, arms)]),
  ];
  return [
    `<h2>${escaped(title)}</h2>`,
    again > 0 ? `<p class="note">${escaped(filled(words.segments, { count: again }))}</p>` : '',
    `<h3>${escaped(words.energy)}</h3><p class="note">${escaped(filled(words.energyNote, days))}</p>${barsSvg(bars)}`,
    `<h3>${escaped(words.figures)}</h3><p class="note">${escaped(filled(words.figuresNote, { setup: parameters.setupSeconds, speed: parameters.speed }))}</p>${figuresTable(run, arms, words, labels)}`,
    `<h3>${escaped(words.load)}</h3><p class="note">${escaped(words.loadNote)}</p>`,
    ...timeCharts(run, arms, optimum, words, labels),
    `<h3>${escaped(words.latency)}</h3><p class="note">${escaped(words.latencyNote)}</p>${latencyChart(arms, words, labels)}`,
    `<h3>${escaped(words.machines)}</h3><p class="note">${escaped(words.machinesNote)}</p>${machinesTable(run, arms, words, labels)}`,
    `<h3>${escaped(words.faults)}</h3>${faultsTable(run, arms, words, labels)}`,
    `<h3>${escaped(words.leaks)}</h3><p class="note">${escaped(filled(words.leaksNote, { history: (run.arms.nemuri ?? arms[0])?.historyKiBPerDay ?? '–' }))}</p>${leaksTable(run.arms.nemuri ?? arms[0], words)}`,
  ].join('\n');
}

function energyOf(arm: ArmResult): number {
  return usedWh(arm) + (arm.arm === 'alwaysOn' ? 0 : arm.controlWh);
}

function barOf(label: string, colour: ArmName | 'optimum', energyWh: number, arms: readonly ArmResult[]) {
  const base = arms.find(({ arm }) => arm === 'alwaysOn');
  const share =
    base && colour !== 'alwaysOn' ? ` (−${((1 - energyWh / usedWh(base)) * 100).toFixed(1)} %)` : '';
  return {
    label,
    value: energyWh,
    text: `${kWhText(energyWh, base)} kWh${share}`,
    colour: colours[colour],
  };
}

/** What the words of own machines are filled with. */
function ownFigures(run: RunResult): Readonly<Record<string, string | number>> {
  const { own, speed } = run.parameters;
  if (!own) return {};
  const arms = armsOf(run);
  const clockSeconds = Math.max(0, ...arms.map(({ clockSeconds = 0 }) => clockSeconds));
  return {
    speed,
    hours: Number((clockSeconds / 3_600).toPrecision(2)),
    meterError: own.meterErrorPercent,
    modelError: own.modelErrorPercent,
    modelled: Math.round(Math.max(0, ...arms.map(modelledPercent))),
  };
}

/** Averages neighbours until at most `mostPoints` are left. */
export function thinned(
  points: readonly Point[],
  of: (point: Point) => number,
): (readonly [number, number])[] {
  const group = Math.max(1, Math.ceil(points.length / mostPoints));
  const line: (readonly [number, number])[] = [];
  for (let index = 0; index < points.length; index += group) {
    const part = points.slice(index, index + group);
    const mean = part.reduce((sum, point) => sum + of(point), 0) / part.length;
    line.push([part.reduce((sum, { second }) => sum + second, 0) / part.length, mean]);
  }
  return line;
}

function timeCharts(
  run: RunResult,
  arms: readonly ArmResult[],
  optimum: Optimum | undefined,
  words: Words,
  labels: Readonly<Record<ArmName, string>>,
): string[] {
  const inDays = run.seconds > 2 * secondsPerDay;
  const unit = inDays ? secondsPerDay : 3_600;
  const xLabel = inDays ? words.days : words.hours;
  const xMax = run.seconds / unit;
  const scaled = (points: readonly (readonly [number, number])[]) =>
    points.map(([second, value]) => [second / unit, value] as const);
  const loaded = run.arms.nemuri ?? arms[0];
  const load: Line[] = loaded
    ? [
        {
          label: words.served,
          colour: colours.load,
          filled: true,
          points: scaled(thinned(loaded.points, ({ rps }) => rps)),
        },
      ]
    : [];
  const perArm = (of: (point: Point) => number): Line[] =>
    arms.map((arm) => ({
      label: labels[arm.arm],
      colour: colours[arm.arm],
      points: scaled(thinned(arm.points, of)),
    }));
  const capacity = arms
    .filter(({ arm }) => arm !== 'alwaysOn')
    .map((arm) => ({
      label: `${words.capacity}: ${labels[arm.arm]}`,
      colour: colours[arm.arm],
      points: scaled(thinned(arm.points, ({ capacityRps }) => capacityRps)),
    }));
  const best: Line[] = optimum
    ? [
        {
          label: words.optimum,
          colour: colours.optimum,
          dashed: true,
          points: scaled(
            optimum.awake
              .map((value, index) => ({ second: (index + 0.5) * optimum.stepSeconds, value }))
              .map(({ second, value }) => [second, value] as const),
          ),
        },
      ]
    : [];
  return [
    chartSvg({ xLabel, yLabel: words.served, xMax, lines: [...load, ...capacity] }),
    chartSvg({
      xLabel,
      yLabel: words.servers,
      xMax,
      lines: [...perArm(({ awake }) => awake), ...best],
      height: 230,
    }),
    chartSvg({ xLabel, yLabel: words.watts, xMax, lines: perArm(wattsOf) }),
  ];
}

const slowestMs = 60_000;
const leastShare = 1e-6;

function latencyChart(
  arms: readonly ArmResult[],
  words: Words,
  labels: Readonly<Record<ArmName, string>>,
): string {
  const lines = arms.map((arm): Line => {
    const total = Math.max(1, arm.requests);
    const points: (readonly [number, number])[] = [];
    let slower = total;
    for (const [bucket, count] of arm.buckets.entries()) {
      if (slower === 0) break;
      slower -= count;
      // Decades of the share, from all down to one in a million.
      const share = Math.max(slower / total, leastShare);
      points.push([bucketBoundMs(bucket), Math.log10(share / leastShare)]);
    }
    return { label: labels[arm.arm], colour: colours[arm.arm], points };
  });
  return chartSvg({
    xLabel: words.milliseconds,
    yLabel: words.slower,
    lines,
    xMin: 1,
    xMax: slowestMs,
    yMax: 6,
    logX: true,
    yText: (tick) => String(Number((10 ** (tick - 4)).toPrecision(1))),
  });
}

function limitsHtml({ runs, wattsPerCore, latencyObjectiveMs }: TrialReport, words: Words): string {
  const [first] = runs;
  if (!first) return '';
  const { speed, setupSeconds, peakShare } = first.parameters;
  const values = {
    speed,
    setup: setupSeconds,
    setupClock: Number((setupSeconds / speed).toPrecision(2)),
    objective: latencyObjectiveMs,
    watts: wattsPerCore,
    peak: Math.round(peakShare * 100),
    ...ownFigures(first),
  };
  const items = words.limitsList.map((item) => `<li>${escaped(filled(item, values))}</li>`);
  return `<h2>${escaped(words.limits)}</h2><ul>${items.join('')}</ul>`;
}
