import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { runService } from '../../libs/runtime/service.ts';
import { loadAssets } from './assets.ts';
import { startConsole } from './console.ts';
import { consoleSettings } from './settings.ts';
import { createWhatif } from './whatif.ts';

/** The page's files are not compiled: they lie beside this file's source, from `dist/` as from here. */
const folders = ['public', '../../../services/console/public'].map((path) =>
  resolve(import.meta.dirname, path),
);
const folder = folders.find((candidate) => existsSync(join(candidate, 'index.html')));
if (!folder) throw new Error(`the console's page is in none of ${folders.join(', ')}`);
const uplot = dirname(createRequire(import.meta.url).resolve('uplot'));
const assets = await loadAssets(folder, {
  'uPlot.js': join(uplot, 'uPlot.esm.js'),
  'uPlot.css': join(uplot, 'uPlot.min.css'),
});
const settings = consoleSettings(process.env);

/** Compiled beside this service, but no part of it: a process of its own, as for `nemuri whatif`. */
const script = resolve(import.meta.dirname, '../../lab/simulation/whatif.js');
const whatif = createWhatif({ script, env: process.env });

await runService('console', (context) => startConsole(context, settings, assets, whatif));
