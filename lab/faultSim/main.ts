import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../libs/runtime/errors.ts';
import { createWorkers } from '../bench/workers.ts';
import { readOptions } from '../commandLine.ts';
import { parseSimOptions, type SimOptions, simHelp } from './options.ts';
import type { RunResult } from './run.ts';
import { awayOf } from './scenario.ts';

/** A seed that takes longer in real time hangs. */
const seedTimeoutMs = 120_000;

const progressEvery = 100;

async function run({ seeds, seed: first, hours, threads, json }: SimOptions): Promise<boolean> {
  const commit = await commitNow();
  const file = fileURLToPath(new URL('./worker.js', import.meta.url));
  const workers = createWorkers(file, Math.min(threads, seeds));
  const startMs = performance.now();
  const failures: { readonly seed: number; readonly violation: string }[] = [];
  const totals = { requests: 0, events: 0, steps: 0, commands: 0, faults: 0 };
  const one = async (seed: number) => {
    const options = { seed, away: awayOf(seed), hours };
    const result = await within(workers.run(options)).catch((error) => messageOf(error, 4_000));
    if (typeof result === 'string') {
      failures.push({ seed, violation: result });
      process.stderr.write(`seed ${seed} on ${commit}: ${result}\n`);
      return;
    }
    const sum = (counts: Readonly<Record<string, number>>) =>
      Object.values(counts).reduce((total, value) => total + value, 0);
    totals.requests += sum(result.endings);
    totals.commands += sum(result.commands);
    totals.events += result.events;
    totals.steps += result.steps;
    totals.faults += result.faults.length;
    if (result.violation === undefined) {
      if (seeds === 1) process.stderr.write(`${describe(result)}\nhash ${result.hash}\n`);
      return;
    }
    failures.push({ seed, violation: result.violation });
    process.stderr.write(`${failureText(result, commit, seeds === 1)}\n`);
  };
  // Waiting tasks are given out as threads come free; a hundred thousand promises at once would only lie about.
  let next = first;
  const tell = () => {
    const done = next - first;
    if (done % progressEvery === 0 && done > 0 && done < seeds)
      process.stderr.write(`${done} of ${seeds} seeds\n`);
  };
  const lane = async () => {
    while (next < first + seeds) {
      const seed = next;
      tell();
      next += 1;
      await one(seed);
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, seeds) }, lane));
  await workers.close();
  const seconds = Math.round((performance.now() - startMs) / 100) / 10;
  const report = { commit, firstSeed: first, seeds, failed: failures.length, seconds, ...totals, failures };
  process.stderr.write(`${seeds} seeds on ${commit} in ${seconds} s: ${failures.length} failed\n`);
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`);
  return failures.length === 0;
}

async function within(running: Promise<unknown>): Promise<RunResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${seedTimeoutMs} ms`)), seedTimeoutMs);
  });
  try {
    return (await Promise.race([running, late])) as RunResult;
  } finally {
    clearTimeout(timer);
  }
}

function failureText(result: RunResult, commit: string, whole: boolean): string {
  const { seed, away, violation, atMs, faults, tail } = result;
  const replay = `replay: npm run sim -- --seed ${seed}`;
  const what = `seed ${seed} on ${commit}${away === 'none' ? '' : ` (${away} away)`}, at ${Math.round(atMs / 1_000)} s: ${violation}`;
  if (!whole) return `${what}\n  ${replay}`;
  return [what, ...describe(result).split('\n'), ...faults, ...tail, replay].join('\n  ');
}

function describe({ endings, commands, events, steps }: RunResult): string {
  return `requests ${JSON.stringify(endings)}, commands ${JSON.stringify(commands)}, ${events} events, ${steps} steps`;
}

/** What the seeds belong to: another commit draws other runs. */
async function commitNow(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--abbrev=12']);
    return stdout.trim();
  } catch {
    return 'an unknown commit';
  }
}

const wanted = readOptions((args) => parseSimOptions(args, availableParallelism()), simHelp);
if (wanted) process.exitCode = (await run(wanted)) ? 0 : 1;
