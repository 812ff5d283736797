import { readFile } from 'node:fs/promises';
import { PowerMethodSchema } from '../libs/events/mod.ts';
import { formatProblem, parseConfig } from '../libs/runtime/config.ts';

/** Each snippet of docs/power.md is the `power` of a server: it must be valid as it stands. */
test('every ladder in docs/power.md is valid, and every driver has one', async () => {
  const page = await readFile('docs/power.md', 'utf8');
  const ladders = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, ladder = '']) => ladder);
  for (const ladder of ladders) {
    const power = ladder.replace(/^/gm, '      ').trimEnd();
    const text = `version: 1
pools: { web: {} }
servers:
  web-1:
    pool: web
    url: http://10.0.0.11:8080
    capacityRps: 100
    power:
${power}
`;
    const result = parseConfig(text, { file: 'docs/power.md' });
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([]);
  }
  const shown = new Set(
    ladders.flatMap((ladder) => [...ladder.matchAll(/driver: (\w+)/g)].map(([, name]) => name)),
  );
  const drivers = PowerMethodSchema.anyOf.map((method) => method.properties.driver.const);
  expect([...shown].sort()).toEqual([...drivers].sort());
});
