import { barsSvg } from './bars.ts';

test('the longest bar of a group is as long as there is room, the others in proportion', () => {
  const groups = [
    {
      name: 'small',
      bars: [
        { name: 'nemuri', value: 50 },
        { name: 'apache', value: 100 },
      ],
    },
    { name: 'large', bars: [{ name: 'nemuri', value: 7 }] },
  ];
  const svg = barsSvg('CPU', 'µs', groups, /nemuri/);
  const bars = [...svg.matchAll(/width="([\d.]+)" height="14" fill="(#\w+)"/g)].map(([, long, fill]) => [
    long,
    fill,
  ]);
  expect(bars).toEqual([
    ['260.0', '#0b6e99'],
    ['520.0', '#9b9a97'],
    ['520.0', '#0b6e99'],
  ]);
  expect(svg).toMatch(/^<svg [^>]*>[\s\S]*<\/svg>\n$/);
});
