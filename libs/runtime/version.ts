import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The version in the package.json above the program that runs, or above `script`; `unknown` where there is none. */
export function packageVersion(script: string | undefined = process.argv[1]): string {
  if (script === undefined || !existsSync(script)) return 'unknown';
  // The command may be a link in node_modules/.bin.
  let folder = dirname(realpathSync(script));
  while (!existsSync(join(folder, 'package.json'))) {
    if (folder === dirname(folder)) return 'unknown';
    folder = dirname(folder);
  }
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}
