import { readFile } from 'node:fs/promises';
import { axes, judge, type Observation, observations } from '../../libs/domain/mod.ts';
import { renderTruthTable } from './truthTable.ts';

// Made by: npm run docs
test('docs/truth-table.md is up to date', async () => {
  expect(await readFile('docs/truth-table.md', 'utf8')).toBe(renderTruthTable());
});

test('each observation is in exactly one row, and the row says what is judged', () => {
  const [, table = ''] = renderTruthTable().split('## All observations');
  const rows = table.split('\n').filter((line) => /^\| [a-z*]/.test(line) && !line.startsWith('| lifecycle'));
  const cells = rows.map((row) =>
    row
      .split('|')
      .map((cell) => cell.trim())
      .slice(1, -1),
  );
  const names = Object.keys(axes) as (keyof Observation)[];
  for (const seen of observations()) {
    const fitting = cells.filter((row) =>
      names.every((name, index) => row[index] === '*' || row[index]?.split(', ').includes(seen[name])),
    );
    const { belief, contradiction = '', event = '', action } = judge(seen);
    expect([seen, fitting.map((row) => row.slice(5))]).toEqual([
      seen,
      [[belief, contradiction, event, action]],
    ]);
  }
});
