import type { FleetConfig } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';

/**
 * A configuration with some settings of one pool changed, checked like any configuration.
 * @param sets such as `minServers=2` or `planner.risk=0.01`: keys as in the file, below the pool; values as JSON, or text.
 * @throws Error naming the key, the rule and the value.
 */
export function withSettings(config: FleetConfig, pool: string, sets: readonly string[]): FleetConfig {
  if (sets.length === 0) return config;
  const changed = structuredClone(config);
  const settings = changed.pools[pool];
  if (!settings) throw new Error(`the configuration has no pool ${pool}`);
  for (const set of sets) setOne(settings, set);
  const parsed = parseConfig(JSON.stringify(changed), { file: '--set' });
  // What else may be wrong by the rules of today was taken in long ago and is not asked about.
  const wrong = parsed.ok ? [] : parsed.problems.filter(({ key }) => key.startsWith(`pools.${pool}.`));
  if (wrong.length === 0) return changed;
  const told = wrong.map(({ key, rule, value }) => `${key}: ${rule}${value ? ` (got ${value})` : ''}`);
  throw new Error(told.join('\n'));
}

function setOne(settings: object, set: string): void {
  const [, key = '', text = ''] = /^([A-Za-z.]+)=(.*)$/.exec(set) ?? [];
  const path = key.split('.');
  const name = path.pop() ?? '';
  let place = settings as Record<string, unknown>;
  for (const part of path) {
    const next = Object.hasOwn(place, part) ? place[part] : undefined;
    if (typeof next !== 'object' || next === null) throw new Error(unknown(set));
    place = next as Record<string, unknown>;
  }
  if (!Object.hasOwn(place, name)) throw new Error(unknown(set));
  place[name] = meant(text);
}

function unknown(set: string): string {
  return `--set must be a setting of a pool and its value, such as minServers=2 or planner.risk=0.01 (got "${set}")`;
}

function meant(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
