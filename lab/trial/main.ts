import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { messageOf } from '../../libs/runtime/errors.ts';
import { ensureNatsServer } from '../../libs/runtime/natsServer.ts';
import { readOptions } from '../commandLine.ts';
import { durationSeconds, readTrace } from '../traces/trace.ts';
import { writeWhole } from './chapter.ts';
import { conditionsNow } from './conditions.ts';
import { csvText } from './csv.ts';
import { parseTrialOptions, type TrialOptions, trialHelp } from './options.ts';
import { pageHtml } from './page.ts';
import { readReport, reportText } from './report.ts';
import { openRun, parametersOf, runArms, runFolder } from './run.ts';
import { chapterSecondsOf, partOf } from './series.ts';

const startedMs = performance.now();
const say = (line: string) =>
  void process.stderr.write(
    `nemuri trial ${((performance.now() - startedMs) / 1_000).toFixed(0)} s: ${line}\n`,
  );
// This file is dist/lab/trial/main.js: two folders down from dist.
const distDir = resolve(import.meta.dirname, '../..');

async function runAll(options: TrialOptions): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(130);
      say('ending; what is finished stays, call again to go on');
      abort.abort(new Error('ended early'));
    });
  }
  await ensureNatsServer({ log: say });
  const part = partOf(await readTrace(options.trace), options.firstDay, options.days);
  const seconds = Math.round(durationSeconds(part));
  const chapterSeconds = chapterSecondsOf(options.speed);
  const conditions = await conditionsNow();
  for (let turn = 0; turn < options.repeat; turn += 1) {
    const own = { ...options, seed: options.seed + turn };
    const folder = runFolder(options.out, own.seed, own.faults);
    await openRun(folder, parametersOf(own, seconds, chapterSeconds), conditions);
    say(
      `seed ${own.seed}: ${seconds / 3_600} hours of the series in ${Math.ceil(seconds / own.speed / 60)} minutes`,
    );
    await runArms(own, folder, { seconds, chapterSeconds }, distDir, say, abort.signal);
  }
}

async function writeReport({ out, json }: TrialOptions): Promise<void> {
  await mkdir(out, { recursive: true });
  const { report, optima } = await readReport(out);
  await writeWhole(join(out, 'report.html'), pageHtml(report, optima));
  await writeWhole(join(out, 'points.csv'), csvText(report.runs));
  await writeWhole(join(out, 'report.json'), `${JSON.stringify(report, null, 1)}\n`);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
}

const wanted = readOptions(parseTrialOptions, trialHelp);
if (wanted) {
  try {
    if (!wanted.reportOnly) await runAll(wanted);
    await writeReport(wanted);
  } catch (error) {
    say(messageOf(error, 4_000));
    process.exitCode = 1;
  }
}
