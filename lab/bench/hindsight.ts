import type { PolicyDefinition } from '../simulation/policies/policy.ts';
import type { Figures } from '../simulation/world.ts';

export type Parameters = Readonly<Record<string, number>>;

/** A setting of a policy and how it fared. */
export interface Setting {
  readonly parameters: Parameters;
  readonly figures: Figures;
}

/** Requests that did not get their answer in time, of all. */
export function latenessOf({ lateFraction, refusedFraction }: Figures): number {
  return lateFraction + refusedFraction;
}

/** The least energy among the settings that are at most so late. */
export function bestWithin(settings: readonly Setting[], lateness: number): Setting | undefined {
  return settings
    .filter(({ figures }) => latenessOf(figures) <= lateness)
    .reduce<Setting | undefined>((best, setting) => {
      return best && best.figures.energyWh <= setting.figures.energyWh ? best : setting;
    }, undefined);
}

/** The settings that no other one beats in both energy and lateness, the latest first. */
export function frontierOf(settings: readonly Setting[]): Setting[] {
  const byEnergy = [...settings].sort(
    (a, b) => a.figures.energyWh - b.figures.energyWh || latenessOf(a.figures) - latenessOf(b.figures),
  );
  let least = Number.POSITIVE_INFINITY;
  return byEnergy.filter(({ figures }) => {
    if (latenessOf(figures) >= least) return false;
    least = latenessOf(figures);
    return true;
  });
}

/** Every combination of the values of a grid. `stride` 2 takes every second value of a parameter. */
export function combinations(grid: PolicyDefinition['grid'], stride: number): Parameters[] {
  return Object.entries(grid).reduce<Parameters[]>(
    (all, [name, values]) =>
      all.flatMap((parameters) =>
        values
          .filter((_value, index) => index % stride === 0)
          .map((value) => ({ ...parameters, [name]: value })),
      ),
    [{}],
  );
}

const refinements = 3;
/** A grid has several good places: so many of them are looked at more closely. */
const startsPerRefinement = 6;

/**
 * What a policy could have reached, had its parameters been chosen with the series known: its published setting, the
 * whole grid, and then, around the best ones that are at most so late, the middles to the neighbours of each parameter,
 * three times over.
 * @param run must give the same figures for the same parameters.
 */
export function tuneInHindsight(
  definition: PolicyDefinition,
  run: (parameters: Parameters) => Figures,
  lateness: number,
  stride = 1,
): {
  readonly published: Setting;
  readonly best: Setting | undefined;
  readonly settings: readonly Setting[];
} {
  const settings = new Map<string, Setting>();
  const evaluate = (parameters: Parameters): Setting => {
    const complete = { ...definition.defaults, ...parameters };
    const key = JSON.stringify(complete);
    const known = settings.get(key);
    if (known) return known;
    const setting = { parameters: complete, figures: run(complete) };
    settings.set(key, setting);
    return setting;
  };
  const published = evaluate({});
  if (Object.keys(definition.grid).length === 0) return { published, best: undefined, settings: [published] };
  for (const parameters of combinations(definition.grid, stride)) evaluate(parameters);
  const tried = new Map(Object.entries(definition.grid).map(([name, values]) => [name, [...values]]));
  for (let round = 0; round < refinements; round += 1) {
    const starts = goodPlaces([...settings.values()], [...tried.keys()], lateness);
    for (const [name, values] of tried) {
      const fresh = new Set<number>();
      for (const { parameters } of starts) {
        for (const value of middles(values, parameters[name] ?? 0)) {
          evaluate({ ...parameters, [name]: value });
          fresh.add(value);
        }
      }
      values.push(...fresh);
    }
  }
  const all = [...settings.values()];
  return { published, best: bestWithin(all, lateness), settings: all };
}

/** The least energy for each value of each parameter, so that they lie apart; the best few of them. */
function goodPlaces(settings: readonly Setting[], names: readonly string[], lateness: number): Setting[] {
  const best = new Map<string, Setting>();
  for (const setting of settings) {
    if (latenessOf(setting.figures) > lateness) continue;
    for (const name of names) {
      const key = `${name} ${setting.parameters[name]}`;
      const known = best.get(key);
      if (!known || setting.figures.energyWh < known.figures.energyWh) best.set(key, setting);
    }
  }
  return [...new Set(best.values())]
    .sort((a, b) => a.figures.energyWh - b.figures.energyWh)
    .slice(0, startsPerRefinement);
}

/** Half-way from a value to the nearest tried ones below and above; whole where all tried ones are. */
function middles(tried: readonly number[], value: number): number[] {
  const below = Math.max(...tried.filter((other) => other < value));
  const above = Math.min(...tried.filter((other) => other > value));
  const whole = tried.every(Number.isInteger);
  return [below, above]
    .filter(Number.isFinite)
    .map((other) => (other + value) / 2)
    .map((middle) => (whole ? Math.round(middle) : Number(middle.toFixed(4))))
    .filter((middle) => !tried.includes(middle));
}
