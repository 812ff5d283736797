/** Bars of one group: a name and a value each. */
export interface BarGroup {
  readonly name: string;
  readonly bars: readonly { readonly name: string; readonly value: number }[];
}

const width = 760;
const barHeight = 20;
const groupGap = 26;
const left = 150;
const right = 90;
const top = 56;

/** An SVG of horizontal bars in groups, each group on its own scale; those named `highlighted` stand out. */
export function barsSvg(
  title: string,
  unit: string,
  groups: readonly BarGroup[],
  highlighted: RegExp,
): string {
  let y = top;
  const parts: string[] = [];
  for (const { name, bars } of groups) {
    parts.push(`<text x="16" y="${y}" font-weight="bold">${name}</text>`);
    const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
    for (const bar of bars) {
      y += barHeight;
      const length = ((bar.value / most) * (width - left - right)).toFixed(1);
      const colour = highlighted.test(bar.name) ? '#0b6e99' : '#9b9a97';
      parts.push(
        `<text x="${left - 8}" y="${y}" text-anchor="end">${bar.name}</text>`,
        `<rect x="${left}" y="${y - 12}" width="${length}" height="14" fill="${colour}"/>`,
        `<text x="${left + Number(length) + 6}" y="${y}">${Math.round(bar.value * 100) / 100}</text>`,
      );
    }
    y += groupGap;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">
<style>text{fill:#37352f}</style>
<rect width="${width}" height="${y}" fill="#fff"/>
<text x="16" y="24" font-size="15">${title}</text>
<text x="${width - 16}" y="24" text-anchor="end">${unit}</text>
${parts.join('\n')}
</svg>
`;
}
