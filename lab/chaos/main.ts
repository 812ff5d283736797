import { resolve } from 'node:path';
import { messageOf } from '../../libs/runtime/errors.ts';
import { readOptions } from '../commandLine.ts';
import { runChaos } from './chaos.ts';
import { type ChaosOptions, chaosHelp, parseChaosOptions } from './options.ts';
import { brokenMusts, reportText } from './report.ts';

const lastAccidents = 10;
const startedMs = Date.now();

const say = (line: string) => {
  const seconds = ((Date.now() - startedMs) / 1_000).toFixed(1).padStart(6);
  process.stderr.write(`nemuri chaos: ${seconds} s  ${line}\n`);
};

async function run(wanted: ChaosOptions): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(130);
      say('ending early; once more ends at once');
      abort.abort();
    });
  }
  // This file is dist/lab/chaos/main.js: two folders down from dist.
  const distDir = resolve(import.meta.dirname, '../..');
  const { report, accidents } = await runChaos(wanted, distDir, say, abort.signal);
  const broken = brokenMusts(report);
  if (broken.length > 0) {
    process.exitCode = 1;
    say(`seed ${wanted.seed}; the last accidents:`);
    for (const { atMs, kind, target, recoveredMs } of accidents.slice(-lastAccidents))
      say(`  ${new Date(atMs).toISOString()} ${kind} ${target}: ${recoveredMs ?? 'not'} ms`);
    for (const what of broken) say(`BROKEN  ${what}`);
  }
  process.stdout.write(wanted.json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
}

const wanted = readOptions(parseChaosOptions, chaosHelp);
if (wanted) {
  try {
    await run(wanted);
  } catch (error) {
    say(messageOf(error, 4_000));
    process.exitCode = 1;
  }
}
