import { readdirSync, readFileSync } from 'node:fs';
import { configKeys } from '../lab/docs/configPage.ts';
import { eventTypes, isEventType } from '../libs/events/mod.ts';
import { metricNames, prometheusName } from '../libs/runtime/metricCatalog.ts';

/** What the documents written by hand name must be in the code; that the reference has all of it is lab/docs/pages.test.ts. */

const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'examples/README.md', ...below('docs')];

function below(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `${folder}/${path}`);
}

/** Words of a text in `code`, and its blocks of code. */
function codeOf(text: string): string[] {
  return [...text.matchAll(/```[a-z]*\n([\s\S]*?)```|`([^`\n]+)`/g)].map(
    ([, block, word]) => block ?? word ?? '',
  );
}

/** Without the names that stand for one of ours, and what tells branches apart. */
const keys = configKeys().map(({ path }) => path.replace(/\.NAME|\[\]| \(\w+\)/g, ''));
const isKey = (word: string) => keys.some((key) => key === word || key.endsWith(`.${word}`));
const sections = new Set(keys.flatMap((key) => key.split('.').slice(0, -1)));

function unknownKeys(text: string): string[] {
  const words = codeOf(text).filter(
    (word) => !word.endsWith('.ts') && /^[a-z][A-Za-z]+(\.[a-z][A-Za-z]+)+$/.test(word),
  );
  return words.filter((word) => sections.has(word.split('.')[0] ?? '') && !isKey(word));
}

function unknownMetrics(text: string): string[] {
  const known = metricNames.flatMap((name) => {
    const spelled = prometheusName(name);
    return [spelled, `${spelled}_bucket`, `${spelled}_sum`, `${spelled}_count`];
  });
  const words = [...text.matchAll(/\b(?:nemuri|http|process|nodejs)_[a-z_]+\b/g)].map(([word]) => word);
  return words.filter((word) => !known.includes(word));
}

/** Words that look like one of our events: an entity, and what became of it. */
const pastTense =
  /^(?:Fleet|Capacity|Wake|Server|Sleep|Power|Drill|Heartbeat|Contradiction|Drain|Target|Planner|Energy|Load|Probes|FailAwake|Ejection)[A-Z]\w+$/;

function unknownEvents(text: string): string[] {
  return codeOf(text).filter((word) => pastTense.test(word) && !isEventType(word));
}

test.each(pages)('%s names only keys, metrics and events that there are', (page) => {
  const text = readFileSync(page, 'utf8');
  expect([unknownKeys(text), unknownMetrics(text), unknownEvents(text)]).toEqual([[], [], []]);
});

test('each of these can fail', () => {
  expect(unknownKeys('`planner.risk` and `planner.rsik`, `a.b`')).toEqual(['planner.rsik']);
  expect(unknownMetrics('nemuri_parked, nemuri_parkd')).toEqual(['nemuri_parkd']);
  expect(unknownEvents(`\`${eventTypes[0]}\`, \`ServerWentAway\``)).toEqual(['ServerWentAway']);
});
