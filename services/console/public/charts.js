import { api, byId, el, setText } from './dom.js';
import { clock, day, number } from './format.js';
import { columns, hourColumns, lastOf } from './store.js';
import uPlot from './uPlot.js';
import { t } from './words.js';

const shortestSeconds = 60;
const longestSeconds = 900;
const height = 176;
/** A chart is redrawn at most so often. */
const drawEveryMs = 1_000;
/** The ledger's hours are asked for anew so often. */
const askHoursEveryMs = 60_000;

/** What each chart shows: columns of the store, with colour and form. */
const charts = [
  {
    id: 'chartLoad',
    unit: () => t('unitRps'),
    series: [
      { name: 'load', word: 'seriesLoad', colour: '--load', width: 2 },
      { name: 'capacity', word: 'seriesCapacity', colour: '--capacity', width: 1.5, steps: true },
      { name: 'upTo', word: 'seriesUpTo', colour: '--forecast', width: 1, dash: [3, 3] },
      { name: 'level', word: 'seriesLevel', colour: '--forecast', width: 1 },
    ],
    bands: [{ series: [3, 4], colour: '--band' }],
  },
  {
    id: 'chartPower',
    unit: () => 'W',
    series: [
      { name: 'alwaysOn', word: 'seriesAlwaysOn', colour: '--capacity', width: 1.5, dash: [5, 4] },
      { name: 'watts', word: 'seriesWatts', colour: '--watts', width: 2 },
    ],
    bands: [{ series: [1, 2], colour: '--savedBand' }],
  },
  {
    id: 'chartLatency',
    unit: () => `ms · ${t('minutes15')}`,
    series: [
      { name: 'p99', word: 'seriesP99', colour: '--p99', width: 1.5 },
      { name: 'p50', word: 'seriesP50', colour: '--load', width: 2 },
    ],
    bands: [],
  },
];

const inLedger = new Set(['load', 'watts', 'alwaysOn']);
/** The same by the hour, as far as the ledger knows it. */
const chartsOfHours = charts.map((chart) => {
  const known = chart.series.filter(({ name }) => inLedger.has(name));
  if (known.length === 0) return chart;
  const series = known.map((one) => ({ ...one, steps: true, hasGaps: true }));
  return { ...chart, series, bands: chart.bands.filter(() => known.length > 1) };
});

/** A colour of the style sheet as a canvas takes it, for the theme of now. */
function colourOf(name) {
  const probe = byId('probe');
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** The three charts. `renew` after the language or the theme has changed; `onChange` when there is more to draw. */
export function createCharts({ onChange }) {
  let plots = [];
  let drawnAtMs = 0;
  /** So far back, in hours of the ledger; 0: the last quarter of an hour, by the second. */
  let hours = 0;
  let ledger = {};
  let timer = 0;

  const make = () => {
    for (const { plot } of plots) plot.destroy();
    plots = (hours === 0 ? charts : chartsOfHours).map((chart) => {
      const box = byId(chart.id);
      const isOfHours = !charts.includes(chart);
      const plot = new uPlot(optionsOf(chart, box.clientWidth, isOfHours && hours), emptyData(chart), box);
      plot.root.setAttribute('role', 'img');
      return { chart, box, plot, isOfHours, legend: legendOf(chart, box) };
    });
  };
  make();
  const watcher = new ResizeObserver(() => {
    for (const { box, plot } of plots)
      if (box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height });
  });
  for (const { box } of plots) watcher.observe(box);

  const renew = () => {
    make();
    drawnAtMs = 0;
  };
  const askHours = async () => {
    const asked = hours;
    if (asked === 0) return;
    const answer = await api(`/api/hours?hours=${asked}`).catch(() => undefined);
    if (!answer || asked !== hours) return;
    ledger = answer.pools;
    drawnAtMs = 0;
    onChange();
  };
  byId('ranges').addEventListener('change', (event) => {
    hours = Number(event.target.value);
    ledger = {};
    clearInterval(timer);
    if (hours > 0) timer = window.setInterval(askHours, askHoursEveryMs);
    renew();
    onChange();
    void askHours();
  });

  return {
    renew,
    draw(state, pool, nowMs) {
      if (nowMs - drawnAtMs < drawEveryMs) return;
      drawnAtMs = nowMs;
      const now = nowMs / 1_000;
      const all = columns(state, pool, now - longestSeconds);
      // The newest second is not told to its end yet.
      const told = Math.floor(now) - 2;
      const first = all.seconds[0] ?? now;
      const from = now - Math.min(longestSeconds, Math.max(shortestSeconds, now - first));
      const past = hours > 0 ? hourColumns(ledger, pool) : undefined;
      for (const { chart, plot, legend, isOfHours } of plots) {
        if (past && isOfHours) {
          drawHours({ chart, plot, legend }, past, now - hours * 3_600, now);
          continue;
        }
        const data = [
          all.seconds,
          ...chart.series.map(({ name }) => {
            const ahead = name === 'upTo' || name === 'level';
            return ahead
              ? all[name]
              : all[name].map((value, index) => (all.seconds[index] <= told ? value : null));
          }),
        ];
        plot.setData(data, false);
        const until =
          chart.id === 'chartLoad' ? Math.min(all.seconds.at(-1) ?? now, now + (now - from) / 4) : now;
        plot.setScale('x', { min: from, max: Math.max(until, now) });
        plot.root.setAttribute('aria-label', summaryOf(chart, all, told));
        drawLegend({ chart, plot, legend }, data, told);
      }
    },
  };
}

function drawHours({ chart, plot, legend }, past, from, now) {
  const data = [past.seconds, ...chart.series.map(({ name }) => past[name])];
  plot.setData(data, false);
  plot.setScale('x', { min: from, max: now });
  plot.root.setAttribute('aria-label', summaryOf(chart, past, now));
  drawLegend({ chart, plot, legend }, data, now);
}

/** The values where somebody points, or else the last ones. */
function drawLegend({ chart, plot, legend }, data, until) {
  const pointed = plot.cursor.idx;
  for (const index of chart.series.keys()) {
    const values = data[index + 1];
    const value =
      pointed === null || pointed === undefined ? lastOf(data[0], values, until) : values[pointed];
    setText(legend[index], number(value, value < 10 && value > 0 ? 1 : 0));
  }
}

/** The value elements of a chart's legend, made anew. */
function legendOf(chart, box) {
  const list = box.parentElement.querySelector('.legend');
  const values = chart.series.map(() => el('b', { text: '–' }));
  setText(box.parentElement.querySelector('.unit'), chart.unit());
  const items = chart.series.map((one, index) => {
    const swatch = el('span', { class: one.dash ? 'swatch dashed' : 'swatch' });
    swatch.style.setProperty('--series', `var(${one.colour})`);
    return el('li', {}, swatch, t(one.word), values[index]);
  });
  list.replaceChildren(...items);
  return values;
}

/** What a chart says now, in words. */
function summaryOf(chart, all, told) {
  const values = chart.series.map(
    ({ name, word }) => `${t(word)} ${number(lastOf(all.seconds, all[name], told))} ${chart.unit()}`,
  );
  return t('chartSummary', { title: t(chart.id), values: values.join(', ') });
}

function emptyData(chart) {
  return [[], ...chart.series.map(() => [])];
}

/** @param hours of the range that is drawn by the hour; 0 or false: by the second */
function optionsOf(chart, width, hours) {
  const textOf = (tick) => {
    if (hours > 24) return day(tick * 1_000);
    return clock(tick * 1_000).slice(0, tick % 60 === 0 ? 5 : 8);
  };
  const text = colourOf('--muted');
  const grid = { stroke: colourOf('--line'), width: 1 };
  const axis = { stroke: text, grid, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: 'nemuri' }, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_plot, _low, high) => [0, Math.max(1, (high ?? 1) * 1.08)] } },
    axes: [
      {
        ...axis,
        size: 26,
        space: 70,
        values: (_plot, ticks) => ticks.map(textOf),
        ...(hours > 24 ? { incrs: [86_400, 2 * 86_400, 7 * 86_400] } : {}),
      },
      {
        ...axis,
        size: 44,
        space: 34,
        values: (_plot, ticks) => ticks.map((tick) => number(tick, tick > 0 && tick < 1 ? 1 : 0)),
      },
    ],
    series: [
      {},
      ...chart.series.map((one) => ({
        stroke: colourOf(one.colour),
        width: one.width,
        spanGaps: !one.hasGaps,
        points: { show: false },
        ...(one.dash ? { dash: one.dash } : {}),
        ...(one.steps ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
      })),
    ],
    bands: chart.bands.map(({ series, colour }) => ({ series, fill: colourOf(colour) })),
  };
}
