import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { generatedFiles } from './pages.ts';

const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
for (const [file, text] of Object.entries(generatedFiles(version))) {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}
