import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tile } from './tile.ts';

/** The page's own modules, as far as they need no browser. */

const folder = join(__dirname, 'public');
const dictionaries = new Set(['english.js', 'japanese.js', 'words.js']);
const { dictionary, setLanguage, t } = require('./public/words.js') as {
  dictionary: Record<'en' | 'ja', Record<string, string>>;
  setLanguage(language: 'en' | 'ja'): void;
  t(key: string, values?: object): string;
};
const { emptyState, fold, columns, hourColumns, lastOf, tilesOf } = require('./public/store.js') as {
  emptyState(): State;
  fold(state: State, frame: object, isWhole: boolean, nowMs: number): State;
  columns(state: State, pool: string, fromSecond: number): Record<string, (number | null)[]>;
  hourColumns(pools: object, pool: string): Record<string, (number | null)[]>;
  lastOf(seconds: number[], values: (number | null)[], until: number): number | null;
  tilesOf(state: State, pool: string): Tile[];
};
interface State {
  events: { sequence: number }[];
  points: Map<string, Map<number, unknown[]>>;
}
const { energy, money, number, span } = require('./public/format.js') as {
  energy(kwh: number | undefined): string;
  money(value: number | undefined, currency: string): string;
  number(value: number, digits: number): string;
  span(ms: number): string;
};

const { yamlOf } = require('./public/whatif.js') as {
  yamlOf(pool: string, tried: Record<string, number>): string;
};

afterEach(() => setLanguage('en'));

describe('words', () => {
  test('both languages have the same keys and places', () => {
    const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();
    const of = (language: 'en' | 'ja') =>
      Object.fromEntries(Object.entries(dictionary[language]).map(([key, text]) => [key, places(text)]));
    expect(of('ja')).toEqual(of('en'));
  });

  test('every key that the page names is there, and none is left over', () => {
    const files = readdirSync(folder).filter((name) => /\.(js|html)$/.test(name) && !dictionaries.has(name));
    const text = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
    const named = [...text.matchAll(/\bt\('([^']+)'|data-t(?:-label|-placeholder)?="([^"]+)"/g)]
      .map(([, inCode, inPage]) => inCode ?? inPage ?? '')
      .filter((key) => !key.includes('$'));
    expect(named.filter((key) => dictionary.en[key] === undefined)).toEqual([]);
    const families = [...text.matchAll(/`([a-z]+\.?)\$\{/gi)].map(([, stem = '']) => stem);
    const unused = Object.keys(dictionary.en).filter(
      (key) =>
        !text.includes(`'${key}'`) &&
        !text.includes(`"${key}"`) &&
        !families.some((stem) => key.startsWith(stem)),
    );
    expect(unused).toEqual([]);
  });

  test('a text of a value stays as it is', () => {
    expect(t('why.waking', { said: '{by} $& <b>' })).toBe('Woken: {by} $& <b>');
  });
});

describe('formats', () => {
  test('energies keep three digits in the unit that fits', () => {
    expect([0.0123, 0.456, 1.5, 1_234].map(energy)).toEqual(['12.3 Wh', '456 Wh', '1.50 kWh', '1,234 kWh']);
    expect(energy(undefined)).toBe('–');
  });

  test('what is nothing when rounded has no sign', () => {
    expect([number(-0.01, 1), number(-1.06, 1)]).toEqual(['0.0', '-1.1']);
  });

  test('times', () => {
    expect([-5, 1_460, 42_000, 300_000, 86_400_000 * 9].map(span)).toEqual([
      '0.0 s',
      '1.5 s',
      '42 s',
      '5 min',
      '9 d',
    ]);
  });

  test('money in the language of the page', () => {
    expect(money(12.5, 'EUR')).toBe('€12.50');
    setLanguage('ja');
    expect(money(1_250, 'JPY')).toMatch(/1,250/);
  });
});

test('settings that were tried are written as they stand in the file', () => {
  const tried = { minServers: 2, 'planner.risk': 0.01, 'planner.headroom': 0.2 };
  const yaml = 'pools:\n  web:\n    minServers: 2\n    planner:\n      risk: 0.01\n      headroom: 0.2';
  expect(yamlOf('web', tried)).toBe(yaml);
});

describe('the store', () => {
  const frame = (over: object = {}) => ({
    nowMs: 1_000_000,
    sequence: 1,
    pools: [],
    tiles: [],
    gone: [],
    points: {},
    events: [],
    ...over,
  });

  test('folds what changes, and is replaced by everything', () => {
    const state = emptyState();
    fold(
      state,
      frame({
        tiles: [
          { name: 'a', pool: 'web' },
          { name: 'b', pool: 'api' },
        ],
      }),
      true,
      0,
    );
    fold(
      state,
      frame({ tiles: [{ name: 'c', pool: 'web' }], gone: ['a'], events: [{ sequence: 5 }] }),
      false,
      0,
    );
    fold(state, frame({ events: [{ sequence: 5 }, { sequence: 6 }] }), false, 0);
    expect(tilesOf(state, '').map(({ name }) => name)).toEqual(['b', 'c']);
    expect(tilesOf(state, 'web').map(({ name }) => name)).toEqual(['c']);
    expect(state.events.map(({ sequence }) => sequence)).toEqual([5, 6]);
    fold(state, frame(), true, 0);
    expect(tilesOf(state, '')).toEqual([]);
  });

  test('columns add pools up, but for latencies, and keep what is not known', () => {
    const state = emptyState();
    const web = [[999, 10, 20, null, null, 100, 200, 5, 50]];
    const api = [
      [999, 1, 2, null, null, null, 20, 7, 40],
      [1_000, 3, null, null, null, null, null, null, null],
    ];
    fold(state, frame({ points: { web, api } }), true, 0);
    const all = columns(state, '', 0);
    expect(all).toMatchObject({ seconds: [999, 1_000], load: [11, 3], watts: [100, null], p50: [7, null] });
    expect(columns(state, 'web', 0).load).toEqual([10]);
    expect(lastOf(all.seconds as number[], all.watts ?? [], 1_000)).toBe(100);
  });

  test('hours are held to their end, added up over pools, and a missing one is a gap', () => {
    const web = [
      [0, 1, 100, 200],
      [3_600, 2, 110, 210],
      [10_800, 3, null, null],
    ];
    const api = [[3_600, 5, 10, 20]];
    expect(hourColumns({ web, api }, '')).toEqual({
      seconds: [0, 3_600, 7_199, 7_200, 10_800, 14_399],
      load: [1, 7, 7, null, 3, 3],
      watts: [100, 120, 120, null, null, null],
      alwaysOn: [200, 230, 230, null, null, null],
    });
    expect(hourColumns({ web, api }, 'api').seconds).toEqual([3_600, 7_199]);
  });
});
