import { writeFile } from 'node:fs/promises';
import { renderTruthTable } from './truthTable.ts';

await writeFile('docs/truth-table.md', renderTruthTable());
