import { readFile } from 'node:fs/promises';
import { configJsonSchema } from './configJsonSchema.ts';

// Made by: npx nemuri schema > docs/nemuri.schema.json && npx biome format --write docs/nemuri.schema.json
test('docs/nemuri.schema.json is up to date', async () => {
  expect(JSON.parse(await readFile('docs/nemuri.schema.json', 'utf8'))).toEqual(configJsonSchema());
});
