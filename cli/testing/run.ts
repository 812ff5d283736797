import { type MemoryStore, openMemoryBus } from '../../libs/bus/mod.ts';
import type { Cli } from '../cli.ts';
import { runCli } from '../program.ts';

export interface RunResult {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
}

/** Runs one `nemuri` command on an in-memory bus to its end. */
export async function runOnStore(
  store: MemoryStore,
  args: readonly string[],
  overrides: Partial<Cli> = {},
): Promise<RunResult> {
  const out: string[] = [];
  const err: string[] = [];
  const cli: Cli = {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    env: {},
    nowMs: Date.now,
    signal: new AbortController().signal,
    distDir: 'dist',
    connect: async () => openMemoryBus(store, { source: 'cli' }),
    ...overrides,
  };
  return { code: await runCli(args, cli, '1.2.3'), out, err };
}
