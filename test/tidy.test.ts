import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';

/**
 * The rules of the house that no compiler and no linter holds (CONTRIBUTING.md). Each is a function of texts, so
 * that beside the check of the tree a small bad example proves that it can fail.
 */
interface Source {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

const root = join(__dirname, '..');
const folders = ['libs', 'services', 'cli', 'agent', 'lab', 'test'];
const notOurs = new Set(['node_modules', 'dist', 'coverage']);

function readSources(): Source[] {
  return folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !path.split('/').some((part) => notOurs.has(part)))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const isTest = (path: string) => path.endsWith('.test.ts') || path.split('/').includes('testing');

/** The text without its comments; line breaks stay, so that lines keep their numbers. */
function codeOf(text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, ' ');
  return text
    .replace(/\/\*[\s\S]*?\*\//g, blank)
    .replace(/(^|[\s;{}(),])\/\/.*$/gm, (_all, before: string) => before);
}

function linesWith({ path, text }: Source, pattern: RegExp): string[] {
  return codeOf(text)
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : []));
}

/** The files of this repository that a file imports, from the root. */
function importsOf({ path, text }: Source): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])(\.[^'"]+)\1/g;
  return [...codeOf(text).matchAll(pattern)].map(([, , target = '']) => {
    return posix.normalize(posix.join(posix.dirname(path), target));
  });
}

/** A part of the house: a lib or service by its own name, everything else by its folder. */
function partOf(path: string): string {
  const [top = '', second = ''] = path.split('/');
  return top === 'libs' || top === 'services' ? `${top}/${second}` : top;
}

/** An arrow goes only downward. What each lib may import besides itself; whoever is not named may import every lib. */
const below: Readonly<Record<string, readonly string[]>> = {
  'libs/events': [],
  'libs/domain': ['libs/events'],
  'libs/bus': ['libs/events'],
};

/** The fault simulation is made of the production services, as a stack is of their processes. */
function runsServices({ path }: Source, to: string): boolean {
  return path.startsWith('lab/faultSim/') && (to.startsWith('services/') || to === 'agent');
}

function arrowsUpward(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    importsOf(source).flatMap((target) => {
      const from = partOf(source.path);
      const to = partOf(target);
      if (from === to || from === 'test') return [];
      if (to === 'test') return [`${source.path} imports ${target}: nothing imports test/`];
      // A unit test may stand on the real thing from another part.
      if (isTest(source.path)) return [];
      const mayImport = below[from]?.includes(to) ?? (to.startsWith('libs/') || runsServices(source, to));
      return mayImport ? [] : [`${source.path} imports ${target}: ${from} may not import ${to}`];
    }),
  );
}

/** A lib with a mod.ts is entered by it. Tests may also take its builders, in `testing/`. */
function importsPastTheDoor(sources: readonly Source[]): string[] {
  const doors = new Set(
    sources.map(({ path }) => path).filter((path) => /^libs\/[^/]+\/mod\.ts$/.test(path)),
  );
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => partOf(target) !== partOf(source.path))
      .filter((target) => doors.has(`${partOf(target)}/mod.ts`) && target !== `${partOf(target)}/mod.ts`)
      .filter((target) => !(isTest(source.path) || partOf(source.path) === 'test') || !isTest(target))
      .map((target) => `${source.path} imports ${target}: by ${partOf(target)}/mod.ts only`),
  );
}

const maxLines = 400;

function filesTooLong(sources: readonly Source[]): string[] {
  return sources
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > maxLines)
    .map(({ path, lines }) => `${path} has ${lines} lines of at most ${maxLines}`);
}

function subjectsSpelled(sources: readonly Source[]): string[] {
  // What a user types behind --filter is an example, not a use; a test spells what it expects.
  const subject =
    /(?<!--filter )['"`]nemuri\.(config|decision|state|operator|load|probe|meter|heartbeat)(\.|['"`])/;
  const outside = sources.filter(({ path }) => !path.startsWith('libs/events/') && !isTest(path));
  return outside.flatMap((source) => linesWith(source, subject));
}

function impureDomain(sources: readonly Source[]): string[] {
  const impure =
    /\bDate\b|\bMath\.random\b|\bperformance\b|\bsetTimeout\b|\bsetInterval\b|['"]node:|\bcrypto\b/;
  const domain = sources.filter(({ path }) => path.startsWith('libs/domain/') && !isTest(path));
  return domain.flatMap((source) => linesWith(source, impure));
}

/**
 * Waiting for time to pass, as it is usually written. A pause inside of a loop that asks for a condition is none, nor
 * is a time-out that rejects.
 */
function sleepsInTests(sources: readonly Source[]): string[] {
  const waits =
    /^(?!.*\b(while|for) ?\().*(\bawait (sleep|delay|pause|setTimeout|wait)\(|\bsetTimeout\(\s*(resolve|done|r|res|ok)\b)/;
  return sources
    .filter(({ path }) => path.endsWith('.test.ts'))
    .flatMap((source) => linesWith(source, waits));
}

/** Links of a Markdown text that lead to no file. */
function deadLinks({ path, text }: Source, exists: (path: string) => boolean): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target.split('#')[0] ?? '')
    .filter((target) => target !== '' && !/^[a-z]+:/i.test(target))
    .filter((target) => !exists(posix.normalize(posix.join(posix.dirname(path), target))))
    .map((target) => `${path} links to ${target}: no such file`);
}

/** `npm run` commands of a text that package.json does not know. */
function unknownScripts({ path, text }: Source, scripts: object): string[] {
  return [...text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)]
    .map(([, script = '']) => script)
    .filter((script) => !Object.hasOwn(scripts, script))
    .map((script) => `${path} names npm run ${script}: no such script`);
}

function markdown(): Source[] {
  const docs = existsSync(join(root, 'docs')) ? readdirSync(join(root, 'docs')) : [];
  return [
    'README.md',
    'ARCHITECTURE.md',
    ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ]
    .filter((path) => existsSync(join(root, path)))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

const sources = readSources();
const source = (path: string, ...lines: string[]): Source => ({ path, text: lines.join('\n') });
const imports = (path: string, target: string) => source(path, `import { x } from '${target}';`);
/** Spelled in two halves, so that the rules do not find their own examples. */
const halves = (...parts: string[]) => parts.join('');

test('the tree is there', () => {
  expect(sources.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['libs/domain/mod.ts', 'libs/events/mod.ts', 'test/tidy.test.ts']),
  );
});

describe('who may import whom', () => {
  test('holds', () => expect(arrowsUpward(sources)).toEqual([]));

  test.each<[string, string]>([
    ['libs/events/a.ts', '../domain/mod.ts'],
    ['libs/domain/a.ts', '../bus/mod.ts'],
    ['libs/domain/a.ts', '../runtime/log.ts'],
    ['libs/bus/a.ts', '../domain/mod.ts'],
    ['libs/bus/jetstream/a.ts', '../../runtime/log.ts'],
    ['libs/runtime/a.ts', '../../services/power/main.ts'],
    ['services/power/a.ts', '../health/health.ts'],
    ['services/power/drivers/a.ts', '../../../lab/rack/rack.ts'],
    ['services/power/a.ts', '../../cli/main.ts'],
    ['lab/demo/a.ts', '../../services/power/power.ts'],
    ['cli/a.ts', '../services/power/main.ts'],
    ['cli/a.ts', '../lab/demo/main.ts'],
    ['libs/bus/a.test.ts', '../../test/tidy.test.ts'],
  ])('%s may not import %s', (path, target) => {
    expect(arrowsUpward([imports(path, target)])).toHaveLength(1);
    expect(arrowsUpward([source(path, `const a = await import('${target}');`)])).toHaveLength(1);
    expect(arrowsUpward([source(path, `export {`, `  x,`, `} from "${target}";`)])).toHaveLength(1);
  });

  test.each<[string, string]>([
    ['libs/domain/a.ts', '../events/mod.ts'],
    ['libs/runtime/a.ts', '../domain/mod.ts'],
    ['services/power/a.ts', './drivers/driver.ts'],
    ['services/power/a.ts', '../../libs/runtime/log.ts'],
    ['lab/demo/a.ts', '../rack/rack.ts'],
    ['services/power/a.test.ts', '../../lab/rack/rack.ts'],
    ['test/integration/a.test.ts', '../../services/power/power.ts'],
  ])('%s may import %s', (path, target) => expect(arrowsUpward([imports(path, target)])).toEqual([]));
});

describe('a lib is entered by its mod.ts', () => {
  const door = source('libs/events/mod.ts');

  test('holds', () => expect(importsPastTheDoor(sources)).toEqual([]));

  test('can fail', () => {
    expect(importsPastTheDoor([door, imports('libs/domain/a.ts', '../events/codec.ts')])).toHaveLength(1);
    expect(importsPastTheDoor([door, imports('cli/a.ts', '../libs/events/testing/a.ts')])).toHaveLength(1);
  });

  test('not where there is no door, nor from within, nor for the builders of tests', () => {
    const allowed = [
      imports('cli/a.ts', '../libs/runtime/log.ts'),
      imports('libs/events/a.ts', './codec.ts'),
      imports('cli/a.ts', '../libs/events/mod.ts'),
      imports('cli/a.test.ts', '../libs/events/testing/a.ts'),
    ];
    expect(importsPastTheDoor([door, ...allowed])).toEqual([]);
  });
});

describe('a file has at most 400 lines', () => {
  test('holds', () => expect(filesTooLong(sources)).toEqual([]));

  test('can fail', () => {
    const lines = (count: number) => source('a.ts', ...Array.from({ length: count }, () => 'x'), '');
    expect([filesTooLong([lines(400)]), filesTooLong([lines(401)])]).toEqual([
      [],
      ['a.ts has 401 lines of at most 400'],
    ]);
  });
});

describe('no subject is spelled outside libs/events', () => {
  test('holds', () => expect(subjectsSpelled(sources)).toEqual([]));

  test('can fail', () => {
    const spelled = halves("const a = '", 'nemuri', ".state.s1.power';");
    expect(subjectsSpelled([source('cli/a.ts', '', spelled)])).toEqual([`cli/a.ts:2: ${spelled}`]);
    expect(subjectsSpelled([source('cli/a.ts', halves('`', 'nemuri', '.load.$', '{pool}`'))])).toHaveLength(
      1,
    );
    expect(subjectsSpelled([source('libs/events/a.ts', spelled), source('cli/a.test.ts', spelled)])).toEqual(
      [],
    );
    expect(subjectsSpelled([source('cli/a.ts', halves("--filter '", 'nemuri', ".state.>'"))])).toEqual([]);
    expect(subjectsSpelled([source('cli/a.ts', `// ${spelled}`, "'nemuri.yaml'", "'nemuri.loads'")])).toEqual(
      [],
    );
  });
});

describe('libs/domain has no clock, no randomness, no I/O', () => {
  test('holds', () => expect(impureDomain(sources)).toEqual([]));

  test.each(['Date.now()', 'new Date()', 'Math.random()', 'performance.now()', "import fs from 'node:fs';"])(
    'not %s',
    (line) => {
      expect(impureDomain([source('libs/domain/a.ts', line)])).toHaveLength(1);
      expect(impureDomain([source('libs/domain/a.test.ts', line), source('libs/bus/a.ts', line)])).toEqual(
        [],
      );
      expect(impureDomain([source('libs/domain/a.ts', `// ${line}`, `/* ${line} */`)])).toEqual([]);
    },
  );
});

describe('no test waits for time to pass', () => {
  test('holds', () => expect(sleepsInTests(sources)).toEqual([]));

  test.each([
    ['await ', 'sleep(50);'],
    ['await ', 'setTimeout(50);'],
    ['await new Promise((resolve) => setTimeout', '(resolve, 50));'],
  ])('not %s%s', (...parts) => {
    expect(sleepsInTests([source('a.test.ts', halves(...parts))])).toHaveLength(1);
    expect(sleepsInTests([source('a.ts', halves(...parts))])).toEqual([]);
    expect(sleepsInTests([source('a.test.ts', halves('while (!there()) ', ...parts))])).toEqual([]);
  });
});

describe('the documents', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };

  test('link to what is there', () => {
    expect(markdown().flatMap((page) => deadLinks(page, (path) => existsSync(join(root, path))))).toEqual([]);
  });

  test('name scripts that are there', () => {
    expect(markdown().flatMap((page) => unknownScripts(page, scripts))).toEqual([]);
  });

  test('can fail', () => {
    const page = source(
      'docs/a.md',
      '[a](gone.md#top) [b](../README.md) [c](https://x.test/) [d](#here)',
      'npm run fly',
    );
    expect(deadLinks(page, (path) => path === 'README.md')).toEqual([
      'docs/a.md links to gone.md: no such file',
    ]);
    expect(unknownScripts(page, { demo: '' })).toEqual(['docs/a.md names npm run fly: no such script']);
  });
});
