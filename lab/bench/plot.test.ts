import { plotSvg } from './plot.ts';

const circles = (svg: string) =>
  [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5"/g)].map(([, x, y]) => ({
    x: Number(x),
    y: Number(y),
  }));

test('less energy stands lower, fewer late further left, none at the left end', () => {
  const points = [
    { lateness: 0.1, vsOptimal: 1.1 },
    { lateness: 0.001, vsOptimal: 1.3 },
    { lateness: 0, vsOptimal: 1.9 },
  ];
  const [none, few, many] = circles(plotSvg('a', [{ name: 'b', highlighted: true, points }]));
  expect(none?.x).toBe(62);
  expect(few?.x).toBeGreaterThan(none?.x ?? 0);
  expect(many?.x).toBeGreaterThan(few?.x ?? 0);
  expect(many?.y).toBeGreaterThan(few?.y ?? 0);
  expect(few?.y).toBeGreaterThan(none?.y ?? 0);
});

test('what is off the axis is left out, and texts are escaped', () => {
  const points = [{ lateness: 0.1, vsOptimal: 3 }];
  const drawn = { name: '<c>', highlighted: false, points: [{ lateness: 0, vsOptimal: 1 }] };
  const svg = plotSvg('a & b', [{ name: 'off', highlighted: true, points }, drawn]);
  expect(circles(svg)).toEqual([]);
  expect(svg).not.toContain('off');
  expect(svg).toContain('a &amp; b');
  expect(svg).toContain('&lt;c&gt;');
});
