import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { ensureNatsServer } from '../../libs/runtime/natsServer.ts';
import { durationSeconds, readTrace } from '../traces/trace.ts';
import { writeWhole } from './chapter.ts';
import { conditionsNow } from './conditions.ts';
import { whoUses } from './inUse.ts';
import type { OwnOptions, TrialOptions } from './options.ts';
import { readyTimeoutOf } from './ownMachines.ts';
import { planLines, planOf } from './ownPlan.ts';
import { type OwnPool, readOwnPool } from './ownPool.ts';
import { openRun, parametersOf, refuseOtherKind, runArms, runFolder } from './run.ts';
import { chapterSecondsOf, partOf } from './series.ts';

export interface OwnTrialDependencies {
  readonly distDir: string;
  readonly say: (line: string) => void;
  /** What was asked for. */
  readonly out: (line: string) => void;
  /** Asks the user; undefined: nobody is there to be asked. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly signal: AbortSignal;
}

/** What is agreed on and may begin. */
export interface PreparedTrial {
  readonly options: TrialOptions;
  readonly pool: OwnPool;
  readonly seconds: number;
  readonly seeds: readonly number[];
}

/**
 * Says what a trial on the user's own machines will do, and asks. Nothing is switched here.
 * @returns nothing when only the plan was wanted.
 * @throws Error when something speaks against it, or the user does.
 */
export async function prepareOwnTrial(
  options: TrialOptions,
  own: OwnOptions,
  { distDir, say, out, ask }: OwnTrialDependencies,
): Promise<PreparedTrial | undefined> {
  const trace = await traceOf(options.trace, distDir);
  const pool = await readOwnPool(own, options.speed);
  const part = partOf(await readTrace(trace), options.firstDay, options.days);
  const seconds = Math.round(durationSeconds(part));
  const plan = planOf(pool, options, seconds);
  await refuseOtherKind(options.out, true);
  if (own.dryRun && options.json) out(JSON.stringify(plan));
  else for (const line of planLines(plan)) (own.dryRun ? out : say)(line);
  const users = await whoUses(pool.config);
  if (users.length > 0) {
    const problem = `Nemuri runs with these servers on this machine: ${users.join('; ')}; stop it first`;
    if (!own.dryRun) throw new Error(problem);
    say(`WARNING ${problem}`);
  }
  if (own.dryRun) return undefined;
  if (!own.yes) await confirm(plan.pool, ask);
  return { options: { ...options, trace }, pool, seconds, seeds: plan.seeds };
}

/** Does it. @throws Error when it ended before its end; every server is awake then too, or the error names those that are not. */
export async function runOwnTrial(
  { options, pool, seconds, seeds }: PreparedTrial,
  { distDir, say, signal }: OwnTrialDependencies,
): Promise<void> {
  await ensureNatsServer({ log: say });
  const chapterSeconds = chapterSecondsOf(options.speed);
  const conditions = await conditionsNow();
  for (const seed of seeds) {
    const mine = { ...options, seed };
    const folder = runFolder(options.out, seed, false);
    await openRun(folder, parametersOf(mine, seconds, chapterSeconds, pool.parameters), conditions);
    const configFile = resolve(folder, 'nemuri.yaml');
    await writeWhole(configFile, pool.yaml);
    say(`seed ${seed}`);
    const run = { configFile, url: pool.parameters.url, readyTimeoutMs: readyTimeoutOf(pool.config) };
    await runArms(mine, folder, { seconds, chapterSeconds, own: run }, distDir, say, signal);
  }
}

/** As it is named, or, of those that Nemuri comes with, beside the program. */
async function traceOf(file: string, distDir: string): Promise<string> {
  const beside = join(distDir, '..', file);
  const isThere = (path: string) =>
    access(path).then(
      () => true,
      () => false,
    );
  return !(await isThere(file)) && (await isThere(beside)) ? beside : file;
}

/** @throws Error unless the user types the pool's name. */
async function confirm(pool: string, ask: OwnTrialDependencies['ask']): Promise<void> {
  if (!ask) throw new Error('nothing was switched: give --yes, or call it on a terminal to be asked');
  const answer = await ask(`Type the name of the pool, ${pool}, to begin:`);
  if (answer.trim() !== pool) throw new Error(`nothing was switched (got "${answer.trim()}")`);
}

/** Asks on the terminal that this process has, if it has one. */
export function terminalAsk(signal: AbortSignal): OwnTrialDependencies['ask'] {
  const { stdin, stderr } = process;
  // `nemuri trial` shows its user what comes by the pipe.
  if (!stdin.isTTY || !(stderr.isTTY || process.connected)) return undefined;
  return async (question) => {
    // Ctrl-C is the signal that it is, not a key to be read.
    const prompt = createInterface({ input: stdin, output: stderr, terminal: false });
    try {
      return await prompt.question(`${question}\n`, { signal });
    } finally {
      prompt.close();
    }
  };
}
