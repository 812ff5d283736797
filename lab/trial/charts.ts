/** One line of a chart; null breaks it. x and y in the chart's own units. */
export interface Line {
  readonly label: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
  /** Drawn as steps: a value holds until the next. */
  readonly steps?: boolean;
  readonly dashed?: boolean;
  /** Filled down to zero. */
  readonly filled?: boolean;
}

export interface ChartOptions {
  readonly xLabel: string;
  readonly yLabel: string;
  readonly lines: readonly Line[];
  readonly xMax: number;
  readonly xMin?: number;
  readonly yMax?: number;
  readonly height?: number;
  /** Decades instead of even steps on the x axis; `xMin` must then be above 0. */
  readonly logX?: boolean;
  /** What a tick of the y axis says; left out: its number. */
  readonly yText?: (tick: number) => string;
}

const width = 960;
const margin = { left: 76, right: 16, top: 34, bottom: 46 };

/** Round steps for an axis that reaches `max`: 1, 2 or 5 times a power of ten, five to ten of them. */
export function ticksOf(max: number): readonly number[] {
  if (!(max > 0)) return [0];
  const rough = max / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough) ?? power;
  const ticks: number[] = [];
  for (let index = 0; index * step <= max * 1.0001; index += 1)
    ticks.push(Number((index * step).toPrecision(12)));
  return ticks;
}

/** A line chart as SVG, its legend above it. Every text is escaped. */
export function chartSvg(options: ChartOptions): string {
  const { lines, xMax, xMin = 0, logX = false, height = 260 } = options;
  const highest = options.yMax ?? Math.max(1e-9, ...lines.flatMap(({ points }) => points.map(([, y]) => y)));
  const yMax = highest * 1.05;
  const bottom = height - margin.bottom;
  const right = width - margin.right;
  const share = (value: number) =>
    logX ? Math.log(Math.max(value, xMin) / xMin) / Math.log(xMax / xMin) : (value - xMin) / (xMax - xMin);
  const x = (value: number) => margin.left + Math.min(1, Math.max(0, share(value))) * (right - margin.left);
  const y = (value: number) => bottom - (Math.min(value, yMax) / yMax) * (bottom - margin.top);
  const xTicks = logX ? decadesOf(xMin, xMax) : ticksOf(xMax - xMin).map((tick) => tick + xMin);
  const grid = [
    ...ticksOf(highest).map((tick) => {
      const at = y(tick).toFixed(1);
      return `<line class="g" x1="${margin.left}" y1="${at}" x2="${right}" y2="${at}"/><text x="${margin.left - 8}" y="${Number(at) + 4}" text-anchor="end">${escaped((options.yText ?? short)(tick))}</text>`;
    }),
    ...xTicks.map((tick) => {
      const at = x(tick).toFixed(1);
      return `<line class="g" x1="${at}" y1="${margin.top}" x2="${at}" y2="${bottom}"/><text x="${at}" y="${bottom + 17}" text-anchor="middle">${short(tick)}</text>`;
    }),
  ];
  let legendX = margin.left;
  const legend = lines.map(({ label, colour, dashed }) => {
    const at = legendX;
    legendX += 40 + textWidth(label);
    return `<line x1="${at}" y1="14" x2="${at + 22}" y2="14" stroke="${colour}" stroke-width="3"${dashed ? ' stroke-dasharray="5 4"' : ''}/><text x="${at + 28}" y="18">${escaped(label)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(options.yLabel)}">
${grid.join('\n')}
${lines.map((line) => pathOf(line, x, y, bottom)).join('\n')}
${legend.join('\n')}
<text x="${(margin.left + right) / 2}" y="${height - 8}" text-anchor="middle">${escaped(options.xLabel)}</text>
<text transform="translate(14 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(options.yLabel)}</text>
</svg>`;
}

function pathOf(
  line: Line,
  x: (value: number) => number,
  y: (value: number) => number,
  bottom: number,
): string {
  const { points, colour, steps, dashed, filled } = line;
  const [first] = points;
  if (!first) return '';
  let path = `M${x(first[0]).toFixed(1)} ${y(first[1]).toFixed(1)}`;
  for (const [px, py] of points.slice(1)) {
    path += steps ? `H${x(px).toFixed(1)}V${y(py).toFixed(1)}` : `L${x(px).toFixed(1)} ${y(py).toFixed(1)}`;
  }
  const last = points.at(-1) ?? first;
  const area = filled
    ? `<path d="${path}L${x(last[0]).toFixed(1)} ${bottom}L${x(first[0]).toFixed(1)} ${bottom}Z" fill="${colour}" fill-opacity="0.18"/>`
    : '';
  return `${area}<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6" stroke-linejoin="round"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`;
}

function decadesOf(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let decade = 10 ** Math.ceil(Math.log10(from) - 1e-9); decade <= to * 1.0001; decade *= 10)
    ticks.push(decade);
  return ticks;
}

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  readonly colour: string;
}

/** Horizontal bars from zero. */
export function barsSvg(bars: readonly Bar[], labelWidth = 190): string {
  const row = 34;
  const height = bars.length * row + 8;
  const most = Math.max(1e-9, ...bars.map(({ value }) => value));
  const room = width - labelWidth - 210;
  const rows = bars.map(({ label, value, text, colour }, index) => {
    const top = index * row + 6;
    const length = Math.max(1, (Math.max(0, value) / most) * room);
    return `<text x="${labelWidth - 10}" y="${top + 17}" text-anchor="end">${escaped(label)}</text><rect x="${labelWidth}" y="${top}" width="${length.toFixed(1)}" height="24" rx="3" fill="${colour}"/><text x="${(labelWidth + length + 8).toFixed(1)}" y="${top + 17}">${escaped(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">${rows.join('\n')}</svg>`;
}

/** Roughly how wide a text is in a 13 px sans-serif; ideographs count double. */
function textWidth(text: string): number {
  let sum = 0;
  for (const letter of text) sum += letter > '\u2e80' ? 13 : 7;
  return sum;
}

function short(value: number): string {
  return value >= 10_000 ? `${Number((value / 1_000).toPrecision(3))}k` : `${Number(value.toPrecision(4))}`;
}

export function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
