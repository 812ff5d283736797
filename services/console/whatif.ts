import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type FleetConfig, type PoolConfig, PoolConfigSchema } from '../../libs/events/mod.ts';
import { messageOf, ProblemError } from '../../libs/runtime/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** A setting of a pool that can be tried on the recorded load. Numbers; `maximum` only where there is one. */
export interface TriedSetting {
  /** As in the configuration, below the pool. */
  readonly key: string;
  readonly value: number;
  readonly minimum: number;
  readonly maximum?: number;
  readonly isWhole: boolean;
}

const { minServers, spareServers, planner } = PoolConfigSchema.properties;
const { risk, headroom } = planner.properties;
/** What the simulated world is moved by: other settings are the hardware's and the request path's. */
const tried = [
  { key: 'minServers', schema: minServers, of: (pool: PoolConfig) => pool.minServers, isCount: true },
  { key: 'spareServers', schema: spareServers, of: (pool: PoolConfig) => pool.spareServers, isCount: true },
  { key: 'planner.risk', schema: risk, of: (pool: PoolConfig) => pool.planner.risk, isCount: false },
  {
    key: 'planner.headroom',
    schema: headroom,
    of: (pool: PoolConfig) => pool.planner.headroom,
    isCount: false,
  },
] as const;

/** The settings of a pool that can be tried, as they are; undefined: there is no such pool. */
export function triedSettings(config: FleetConfig, poolName: string): TriedSetting[] | undefined {
  if (!Object.hasOwn(config.pools, poolName)) return undefined;
  const pool = config.pools[poolName];
  if (!pool) return undefined;
  const servers = Object.values(config.servers).filter((server) => server.pool === poolName).length;
  return tried.map(({ key, schema, of, isCount }) => {
    const maximum = isCount ? servers : schema.maximum;
    const bound = maximum === undefined ? {} : { maximum };
    return { key, value: of(pool), minimum: schema.minimum ?? 0, ...bound, isWhole: isCount };
  });
}

const Figures = Type.Object({
  energyWh: Type.Number(),
  lateFraction: Type.Number(),
  refusedFraction: Type.Number(),
  wakes: Type.Number(),
});
/** What the simulation says; the same as `nemuri whatif --json`. */
const ReportSchema = Type.Object({
  pool: Type.String(),
  seconds: Type.Number(),
  requests: Type.Number(),
  happened: Type.Object({ energyWh: Type.Number(), wakes: Type.Number(), failed: Type.Number() }),
  now: Figures,
  whatif: Figures,
});
export type WhatifReport = Static<typeof ReportSchema>;

export interface WhatifQuestion {
  readonly pool: string;
  /** So far back, in hours. */
  readonly hours: number;
  /** By the key of a `TriedSetting`. */
  readonly settings: Readonly<Record<string, number>>;
}

/** Tries settings on the recorded load, in a process of its own, one question at a time. */
export interface Whatif {
  /**
   * @param signal ends it when nobody waits for the answer any more.
   * @throws ProblemError when another is under way, or why there is no answer.
   */
  ask(question: WhatifQuestion, signal: AbortSignal): Promise<WhatifReport>;
  /** Ends what is under way. */
  stop(): void;
}

export interface WhatifOptions {
  /** The program behind `nemuri whatif`. */
  readonly script: string;
  /** How it reaches the bus. */
  readonly env: Environment;
  readonly timeoutMs?: number;
}

/** Longer than this nobody waits, and a day of a large fleet is asked about in parts. */
const defaultTimeoutMs = 120_000;
/** It takes what the services leave of the processor. */
const niceness = 15;
const maxHeapMegabytes = 512;
const maxOutputChars = 64 * 1_024;

export function createWhatif({ script, env, timeoutMs = defaultTimeoutMs }: WhatifOptions): Whatif {
  const stopped = new AbortController();
  let underWay: { readonly signal: AbortSignal; readonly answer: Promise<WhatifReport> } | undefined;
  return {
    async ask(question, asker) {
      // One that was called off is about to end.
      while (underWay?.signal.aborted) await underWay.answer.catch(() => {});
      if (underWay) throw refusal('another what-if is under way; try again when it has ended');
      const signal = AbortSignal.any([asker, stopped.signal]);
      const answer = run(argumentsOf(script, question), env, signal, timeoutMs).finally(() => {
        underWay = undefined;
      });
      underWay = { signal, answer };
      return answer;
    },
    stop: () => stopped.abort(),
  };
}

function argumentsOf(script: string, { pool, hours, settings }: WhatifQuestion): string[] {
  const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const heap = `--max-old-space-size=${maxHeapMegabytes}`;
  return [heap, script, '--json', '--pool', pool, '--since', `${hours}h`, ...sets];
}

async function run(
  args: readonly string[],
  env: Environment,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<WhatifReport> {
  const limit = AbortSignal.timeout(timeoutMs);
  const child = spawn(process.execPath, args, {
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, limit]),
    killSignal: 'SIGKILL',
  });
  if (child.pid !== undefined) beNice(child.pid);
  const [out, err] = [gather(child.stdout), gather(child.stderr)];
  const ended = await new Promise<number | string | null>((resolve) => {
    // An abort is an error first; the process has ended only when it is closed.
    let failure: string | undefined;
    child.on('error', (error) => {
      failure = messageOf(error);
      if (child.pid === undefined) resolve(failure);
    });
    child.on('close', (code) => resolve(failure ?? code));
  });
  if (limit.aborted) throw refusal(`it took longer than ${timeoutMs / 1_000} s; choose a shorter time`);
  if (signal.aborted) throw refusal('it was called off');
  if (ended !== 0)
    throw refusal(
      err()
        .replace(/^nemuri whatif: /, '')
        .trim() || `it ended with ${ended}`,
    );
  const report: unknown = JSON.parse(out());
  if (!Value.Check(ReportSchema, report))
    throw new Error('the what-if answers in another form than expected');
  return report;
}

/** One that has ended already needs no priority. */
function beNice(pid: number): void {
  try {
    setPriority(pid, niceness);
  } catch {}
}

function gather(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < maxOutputChars) text += chunk;
  });
  return () => text;
}

function refusal(detail: string): ProblemError {
  return new ProblemError('NEMURI_CAN_NOT_BE_DONE', detail);
}
