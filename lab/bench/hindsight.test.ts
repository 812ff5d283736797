import fc from 'fast-check';
import type { PolicyDefinition } from '../simulation/policies/policy.ts';
import type { Figures } from '../simulation/world.ts';
import {
  bestWithin,
  combinations,
  frontierOf,
  latenessOf,
  type Setting,
  tuneInHindsight,
} from './hindsight.ts';

const figures = (energyWh: number, lateFraction: number): Figures => ({
  energyWh,
  lateFraction,
  refusedFraction: 0,
  vsOptimal: 1,
  vsAlwaysOn: 1,
  cyclesPerServerDay: 0,
});
const setting = (energyWh: number, lateFraction: number): Setting => ({
  parameters: {},
  figures: figures(energyWh, lateFraction),
});

test('the grid in full, and coarse', () => {
  const grid = { a: [1, 2, 3], b: [10, 20] };
  expect(combinations(grid, 1)).toHaveLength(6);
  expect(combinations(grid, 2)).toEqual([
    { a: 1, b: 10 },
    { a: 3, b: 10 },
  ]);
  expect(combinations({}, 1)).toEqual([{}]);
});

test('the best is the least energy that is not too late; refused counts as late', () => {
  const refusing = { parameters: {}, figures: { ...figures(1, 0), refusedFraction: 0.5 } };
  const settings = [setting(10, 0.2), setting(20, 0.001), setting(30, 0), refusing];
  expect(bestWithin(settings, 0.001)?.figures.energyWh).toBe(20);
  expect(bestWithin(settings, 0.0001)?.figures.energyWh).toBe(30);
  expect(bestWithin([refusing], 0.1)).toBeUndefined();
});

test('nothing beats a point of the frontier in both', () => {
  const all = fc.array(
    fc.tuple(fc.nat(20), fc.nat(20)).map(([energy, late]) => setting(energy, late / 20)),
    { minLength: 1, maxLength: 40 },
  );
  fc.assert(
    fc.property(all, (settings) => {
      const frontier = frontierOf(settings);
      const beats = (a: Setting, b: Setting) =>
        a.figures.energyWh <= b.figures.energyWh &&
        latenessOf(a.figures) <= latenessOf(b.figures) &&
        (a.figures.energyWh < b.figures.energyWh || latenessOf(a.figures) < latenessOf(b.figures));
      for (const point of frontier) expect(settings.some((other) => beats(other, point))).toBe(false);
      for (const point of settings) {
        const onIt = frontier.some(
          (other) =>
            other.figures.energyWh <= point.figures.energyWh &&
            latenessOf(other.figures) <= latenessOf(point.figures),
        );
        expect(onIt).toBe(true);
      }
    }),
    { seed: 1 },
  );
});

/** Energy is least at 6.4, lateness falls with `margin`. */
const rule: PolicyDefinition = {
  name: 'rule',
  source: 'none',
  defaults: { margin: 0.5, other: 7 },
  grid: { margin: [0, 4, 8, 12] },
  create: () => ({ decide: () => 1 }),
};

test('tunes finer around the best of the grid, and never above the lateness', () => {
  const run = ({ margin = 0 }: Readonly<Record<string, number>>) => figures(10 + margin, 1 / (1 + margin));
  const { published, best, settings } = tuneInHindsight(rule, run, 1 / 6);
  expect(published.parameters).toEqual({ margin: 0.5, other: 7 });
  // 8 is the first of the grid that is good enough; 6 and then 5 lie between it and 4.
  expect(best?.parameters).toEqual({ margin: 5, other: 7 });
  expect(new Set(settings.map(({ parameters }) => parameters.margin)).size).toBe(settings.length);
});

test('has nothing to tune where there is no grid, and no best where nothing is good enough', () => {
  const fixed = { ...rule, grid: {} };
  expect(tuneInHindsight(fixed, () => figures(1, 0), 1).best).toBeUndefined();
  expect(tuneInHindsight(rule, () => figures(1, 0.5), 0.1).best).toBeUndefined();
});
