import { fork } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { readChapters, writeWhole } from './chapter.ts';
import type { Conditions } from './conditions.ts';
import type { ArmMessage, ArmOrder } from './messages.ts';
import type { ArmName, TrialOptions } from './options.ts';
import type { OwnParameters } from './ownPool.ts';

/** What makes a run the one it is: it can be gone on with only as the same. */
export interface Parameters {
  readonly trace: string;
  readonly firstDay: number;
  readonly seconds: number;
  readonly chapterSeconds: number;
  readonly speed: number;
  readonly servers: number;
  readonly seed: number;
  readonly peakShare: number;
  readonly setupSeconds: number;
  readonly faults: boolean;
  /** On own machines; absent: on a virtual rack. */
  readonly own?: OwnParameters;
}

/** `run.json` of a run's folder. */
export interface RunFile {
  readonly version: 1;
  readonly parameters: Parameters;
  readonly conditions: Conditions;
  /** Since it was gone on with on another machine or commit, the conditions of those too. */
  readonly later: readonly Conditions[];
}

const stopTimeoutMs = 60_000;

export function runFolder(out: string, seed: number, faults: boolean): string {
  return join(out, `seed-${seed}${faults ? '-faults' : ''}`);
}

export function parametersOf(
  options: TrialOptions,
  seconds: number,
  chapterSeconds: number,
  own?: OwnParameters,
): Parameters {
  const { trace, firstDay, speed, servers, seed, peakShare, setupSeconds, faults } = options;
  const common = { trace, firstDay, seconds, chapterSeconds, speed, servers, seed, peakShare, setupSeconds };
  if (!own) return { ...common, faults };
  const machines = Object.values(own.servers);
  const setupTimesMs = machines.map(({ energy }) => energy.setupTimeMs);
  return {
    ...common,
    servers: machines.length,
    setupSeconds: Math.max(...setupTimesMs) / 1_000,
    faults,
    own,
  };
}

/**
 * Claims a run's folder. @throws Error when a run with other parameters is there.
 */
export async function openRun(folder: string, parameters: Parameters, conditions: Conditions): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'run.json');
  const before = await readRunFile(folder);
  if (before && !isDeepStrictEqual(before.parameters, parameters)) {
    throw new Error(
      `--out ${folder} holds a run with other parameters: ${JSON.stringify(before.parameters)}; ` +
        'give the same ones to go on with it, or another folder',
    );
  }
  const { at: _at, ...now } = conditions;
  const isNew = (known: Conditions) => {
    const { at: _knownAt, ...then } = known;
    return !isDeepStrictEqual(then, now);
  };
  const run: RunFile = before
    ? {
        ...before,
        later: [before.conditions, ...before.later].every(isNew)
          ? [...before.later, conditions]
          : before.later,
      }
    : { version: 1, parameters, conditions, later: [] };
  await writeWhole(file, `${JSON.stringify(run, null, 1)}\n`);
}

/** The folders of the runs below `out`. */
export async function runFoldersOf(out: string): Promise<string[]> {
  const names = await readdir(out).catch(() => [] as string[]);
  return names.filter((name) => name.startsWith('seed-')).sort();
}

/** One report is of one kind. @throws Error when `out` holds runs of the other. */
export async function refuseOtherKind(out: string, isOwn: boolean): Promise<void> {
  for (const name of await runFoldersOf(out)) {
    const run = await readRunFile(join(out, name));
    if (!run || (run.parameters.own !== undefined) === isOwn) continue;
    const kind = isOwn ? 'a virtual rack' : 'own machines';
    throw new Error(`--out must be a folder of its own (got ${out}, which holds a run on ${kind})`);
  }
}

export async function readRunFile(folder: string): Promise<RunFile | undefined> {
  const text = await readFile(join(folder, 'run.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as RunFile);
}

/** Runs the arms of one seed, side by side unless told otherwise, each from its first missing chapter on. */
export async function runArms(
  options: TrialOptions,
  folder: string,
  part: Pick<ArmOrder, 'seconds' | 'chapterSeconds' | 'own'>,
  distDir: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const abort = new AbortController();
  const either = AbortSignal.any([signal, abort.signal]);
  const missing: { readonly arm: ArmName; readonly fromChapter: number }[] = [];
  for (const arm of options.arms) {
    const fromChapter = (await readChapters(join(folder, arm))).length;
    if (fromChapter * part.chapterSeconds >= part.seconds) continue;
    if (fromChapter > 0) say(`${arm}: goes on with chapter ${fromChapter + 1}`);
    missing.push({ arm, fromChapter });
  }
  const together = async (arms: typeof missing) => {
    const barrier = createBarrier(arms.length);
    await Promise.all(
      arms.map(({ arm, fromChapter }) => {
        const order: ArmOrder = { arm, options, ...part, folder: join(folder, arm), fromChapter };
        return runArmProcess(order, distDir, (line) => say(`${arm}: ${line}`), barrier, either);
      }),
    );
  };
  try {
    if (options.oneByOne) for (const arm of missing) await together([arm]);
    else await together(missing);
  } catch (error) {
    // What one arm could not finish ends the others too: their chapters stay.
    abort.abort(error);
    throw error;
  }
}

/** Lets everybody go when `count` have come. */
function createBarrier(count: number): (go: () => void) => void {
  const waiting: (() => void)[] = [];
  return (go) => {
    waiting.push(go);
    if (waiting.length === count) for (const each of waiting) each();
  };
}

async function runArmProcess(
  order: ArmOrder,
  distDir: string,
  say: (line: string) => void,
  arrive: (go: () => void) => void,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(order.folder, { recursive: true });
  const { own } = order;
  const child = fork(join(distDir, 'lab/trial/armProcess.js'), [JSON.stringify(order)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  });
  let failure: string | undefined;
  let finished = false;
  child.on('message', (message: ArmMessage) => {
    if (message.kind === 'say') say(message.line);
    else if (message.kind === 'ready') arrive(() => void child.send('go'));
    else if (message.kind === 'failed') failure = message.error;
    else finished = true;
  });
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  // Own machines are woken before it ends.
  const end = () => void endProcess(child, stopTimeoutMs + (own?.readyTimeoutMs ?? 0));
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  await gone;
  signal.removeEventListener('abort', end);
  if (finished) return;
  if (failure === undefined && own && !own.onlyWakes) {
    say('it is gone without a word; every server is woken');
    const rescue: ArmOrder = { ...order, arm: 'alwaysOn', own: { ...own, onlyWakes: true } };
    await runArmProcess(rescue, distDir, say, (go) => go(), new AbortController().signal);
  }
  throw new Error(`the arm ${order.arm} ended early: ${failure ?? 'without a word'}`);
}
