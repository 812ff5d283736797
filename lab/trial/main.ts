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
import { prepareOwnTrial, runOwnTrial, terminalAsk } from './ownTrial.ts';
import { pageHtml } from './page.ts';
import { readReport, reportText } from './report.ts';
import { openRun, parametersOf, refuseOtherKind, runArms, runFolder } from './run.ts';
import { chapterSecondsOf, partOf } from './series.ts';

const startedMs = performance.now();
const say = (line: string) =>
  void process.stderr.write(
    `nemuri trial ${((performance.now() - startedMs) / 1_000).toFixed(0)} s: ${line}\n`,
  );
// This file is dist/lab/trial/main.js: two folders down from dist.
const distDir = resolve(import.meta.dirname, '../..');
// Whoever read us may be gone before every server is awake.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

/** Aborted by the first signal, and when whoever started us by a channel is gone. */
function endSignal(isOwn: boolean): AbortSignal {
  const abort = new AbortController();
  const end = (again: () => void) => {
    if (abort.signal.aborted) return again();
    say('ending; what is finished stays, call again to go on');
    abort.abort(new Error('ended early'));
  };
  // On own machines no second signal leaves servers asleep.
  const again = () => (isOwn ? say('every server is woken first') : process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(again));
  process.on('disconnect', () => end(() => {}));
  process.channel?.unref();
  return abort.signal;
}

async function runAll(options: TrialOptions, signal: AbortSignal): Promise<void> {
  await refuseOtherKind(options.out, false);
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
    await runArms(own, folder, { seconds, chapterSeconds }, distDir, say, signal);
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

/** However the trial on own machines ends once it has begun, what was finished is reported. */
async function runOwn(options: TrialOptions, own: NonNullable<TrialOptions['own']>): Promise<void> {
  const signal = endSignal(true);
  const out = (line: string) => void process.stdout.write(`${line}\n`);
  const world = { distDir, say, out, ask: terminalAsk(signal), signal };
  const prepared = await prepareOwnTrial(options, own, world);
  if (!prepared) return;
  await runOwnTrial(prepared, world).catch((error) => {
    say(messageOf(error, 4_000));
    process.exitCode = 1;
  });
  await writeReport(options);
}

const wanted = readOptions(parseTrialOptions, trialHelp);
if (wanted) {
  const { own, reportOnly } = wanted;
  try {
    if (own && !reportOnly) await runOwn(wanted, own);
    else {
      if (!reportOnly) await runAll(wanted, endSignal(false));
      await writeReport(wanted);
    }
  } catch (error) {
    say(messageOf(error, 4_000));
    process.exitCode = 1;
  }
}
