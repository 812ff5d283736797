/** A point of the plot: share of requests late, energy as a multiple of the optimum. */
export interface PlotPoint {
  readonly lateness: number;
  readonly vsOptimal: number;
  readonly label?: string;
}

export interface PlotSeries {
  readonly name: string;
  /** Drawn with a thick line and big marks. */
  readonly highlighted: boolean;
  readonly points: readonly PlotPoint[];
}

const width = 760;
const height = 440;
const margin = { left: 62, right: 150, top: 40, bottom: 52 };
/** Lateness on a log axis between these; what is less, none included, stands at its left end. */
const leastLateness = 1e-6;
const mostLateness = 1;
const leastEnergy = 0.8;
const colours = ['#0b6e99', '#d9730d', '#0f7b6c', '#ad1a72', '#6940a5', '#64473a', '#9b9a97', '#dfab01'];

/** An SVG of energy against lateness: down and to the left is better. Energy above `mostEnergy` is left out. */
export function plotSvg(title: string, series: readonly PlotSeries[], mostEnergy = 2): string {
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const x = (lateness: number) => {
    const decades = Math.log10(mostLateness / leastLateness);
    const position = Math.log10(Math.max(leastLateness, Math.min(mostLateness, lateness)) / leastLateness);
    return margin.left + (position / decades) * (right - margin.left);
  };
  const y = (energy: number) =>
    bottom - ((energy - leastEnergy) / (mostEnergy - leastEnergy)) * (bottom - margin.top);

  const axes: string[] = [];
  for (let decade = -6; decade <= 0; decade += 1) {
    const at = x(10 ** decade).toFixed(1);
    const label = decade === -6 ? 'none' : `${Number((10 ** (decade + 2)).toPrecision(1))} %`;
    axes.push(`<line class="grid" x1="${at}" y1="${margin.top}" x2="${at}" y2="${bottom}"/>`);
    axes.push(`<text x="${at}" y="${bottom + 18}" text-anchor="middle">${label}</text>`);
  }
  for (let tenths = leastEnergy * 10; tenths <= mostEnergy * 10 + 1e-9; tenths += 2) {
    const at = y(tenths / 10).toFixed(1);
    axes.push(`<line class="grid" x1="${margin.left}" y1="${at}" x2="${right}" y2="${at}"/>`);
    axes.push(
      `<text x="${margin.left - 8}" y="${Number(at) + 4}" text-anchor="end">${(tenths / 10).toFixed(1)}</text>`,
    );
  }
  const visible = series
    .map((one, index) => ({
      ...one,
      colour: colours[index % colours.length] ?? '#000',
      points: one.points
        .filter(({ vsOptimal }) => vsOptimal <= mostEnergy && vsOptimal >= leastEnergy)
        .sort((a, b) => a.lateness - b.lateness),
    }))
    .filter(({ points }) => points.length > 0);
  const drawn = visible.map((one, row) => drawSeries(one, margin.top + 14 + row * 19, x, y));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<style>.grid{stroke:#e3e2e0}text{fill:#37352f}</style>
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${margin.left}" y="22" font-size="15">${escaped(title)}</text>
${axes.join('\n')}
<text x="${(margin.left + right) / 2}" y="${height - 12}" text-anchor="middle">requests late or refused</text>
<text transform="translate(16 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">energy, as a multiple of the clairvoyant optimum</text>
${drawn.join('\n')}
</svg>
`;
}

function drawSeries(
  series: PlotSeries & { readonly colour: string },
  legendY: number,
  x: (lateness: number) => number,
  y: (energy: number) => number,
): string {
  const { points, colour } = series;
  const stroke = series.highlighted ? 2.5 : 1.2;
  const radius = series.highlighted ? 4.5 : 2.2;
  const at = points.map(({ lateness, vsOptimal }) => [x(lateness).toFixed(1), y(vsOptimal).toFixed(1)]);
  const line = `<polyline fill="none" stroke="${colour}" stroke-width="${stroke}" points="${at.map((pair) => pair.join(',')).join(' ')}"/>`;
  const marks = at.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="${radius}" fill="${colour}"/>`);
  const labels = points.flatMap(({ label }, point) =>
    label === undefined
      ? []
      : [
          `<text x="${Number(at[point]?.[0]) + 7}" y="${Number(at[point]?.[1]) - 6}">${escaped(label)}</text>`,
        ],
  );
  const right = width - margin.right;
  const legend = `<circle cx="${right + 18}" cy="${legendY - 4}" r="4" fill="${colour}"/><text x="${right + 28}" y="${legendY}">${escaped(series.name)}</text>`;
  return [line, ...marks, ...labels, legend].join('\n');
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
