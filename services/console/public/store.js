/** What the page knows: one plain state, folded from the frames that the console sends. */

export const keptSeconds = 900;
const keptEvents = 300;
const hourSeconds = 3_600;

export function emptyState() {
  return {
    /** Server's clock minus ours. */
    offsetMs: 0,
    sequence: 0,
    pools: [],
    tiles: new Map(),
    /** By pool: points by their second. */
    points: new Map(),
    /** Newest last. */
    events: [],
  };
}

/** Folds a frame in; one that holds everything replaces what was known. */
export function fold(state, frame, isWhole, nowMs) {
  if (isWhole) {
    state.tiles = new Map();
    state.points = new Map();
    state.events = [];
  }
  state.offsetMs = frame.nowMs - nowMs;
  state.sequence = frame.sequence;
  state.pools = frame.pools;
  for (const tile of frame.tiles) state.tiles.set(tile.name, tile);
  for (const name of frame.gone) state.tiles.delete(name);
  for (const [pool, points] of Object.entries(frame.points)) foldPoints(state, pool, points, frame.nowMs);
  const last = state.events.at(-1)?.sequence ?? 0;
  state.events.push(...frame.events.filter(({ sequence }) => sequence > last));
  if (state.events.length > keptEvents) state.events.splice(0, state.events.length - keptEvents);
  return state;
}

function foldPoints(state, pool, points, nowMs) {
  const known = state.points.get(pool) ?? new Map();
  state.points.set(pool, known);
  for (const point of points) known.set(point[0], point);
  const oldest = nowMs / 1_000 - keptSeconds;
  for (const second of known.keys()) if (second < oldest) known.delete(second);
}

/**
 * Columns for the charts: seconds without a gap, and for each its values; of several pools the sums, of latencies
 * the highest. `null` where nothing is known. What was drawn or decided holds until the next word.
 */
export function columns(state, pool, fromSecond) {
  const pools = [...state.points]
    .filter(([name]) => pool === '' || name === pool)
    .map(([, points]) => points);
  const seconds = new Set();
  for (const points of pools)
    for (const second of points.keys()) if (second >= fromSecond) seconds.add(second);
  const sorted = [...seconds].sort((a, b) => a - b);
  const names = ['load', 'capacity', 'level', 'upTo', 'watts', 'alwaysOn', 'p50', 'p99'];
  const result = { seconds: sorted };
  for (const [index, name] of names.entries()) {
    const place = index + 1;
    const isLatency = place >= 7;
    result[name] = sorted.map((second) => {
      let value = null;
      for (const points of pools) {
        const own = points.get(second)?.[place];
        if (own === null || own === undefined) continue;
        value = isLatency ? Math.max(value ?? 0, own) : (value ?? 0) + own;
      }
      return value;
    });
  }
  return result;
}

/**
 * Columns of the hours that the ledger tells, each hour held to its end: of several pools the sums, `null` where nothing
 * is known.
 * @param {Record<string, (number|null)[][]>} pools hours by pool: seconds, load, watts, always on
 */
export function hourColumns(pools, pool) {
  const names = ['load', 'watts', 'alwaysOn'];
  const hours = new Map();
  for (const [name, points] of Object.entries(pools)) {
    if (pool !== '' && pool !== name) continue;
    for (const [second, ...values] of points) {
      const known = hours.get(second) ?? names.map(() => null);
      hours.set(
        second,
        values.map((value, index) => (value === null ? known[index] : value + (known[index] ?? 0))),
      );
    }
  }
  const result = { seconds: [], load: [], watts: [], alwaysOn: [] };
  const push = (second, values) => {
    result.seconds.push(second);
    for (const [index, name] of names.entries()) result[name].push(values[index]);
  };
  const none = names.map(() => null);
  const sorted = [...hours].sort(([a], [b]) => a - b);
  for (const [index, [second, values]] of sorted.entries()) {
    push(second, values);
    const next = sorted[index + 1]?.[0];
    if (next === second + hourSeconds) continue;
    push(second + hourSeconds - 1, values);
    if (next !== undefined) push(second + hourSeconds, none);
  }
  return result;
}

/** The last known value of a column, not after `untilSecond`. */
export function lastOf(seconds, values, untilSecond) {
  for (let index = seconds.length - 1; index >= 0; index -= 1) {
    if (seconds[index] <= untilSecond && values[index] !== null) return values[index];
  }
  return null;
}

/** Tiles of the chosen pool, or of all, in the order the console sent them. */
export function tilesOf(state, pool) {
  return [...state.tiles.values()].filter((tile) => pool === '' || tile.pool === pool);
}
