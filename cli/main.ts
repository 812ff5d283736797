#!/usr/bin/env node
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { connectJetStreamBus, inspectBus } from '../libs/bus/mod.ts';
import { busLogin } from '../libs/runtime/busLogin.ts';
import { natsReplicas } from '../libs/runtime/service.ts';
import { packageVersion } from '../libs/runtime/version.ts';
import type { Cli, Terminal } from './cli.ts';
import { runCli } from './program.ts';

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
// A reader that has enough (`nemuri events | head`) is an end, not an error.
process.stdout.on('error', () => interrupted.abort());

const { stdin, stdout } = process;
const terminal: Terminal = {
  get columns() {
    return stdout.columns || 80;
  },
  get rows() {
    return stdout.rows || 24;
  },
  write: (text) => void stdout.write(text),
};

async function ask(question: string): Promise<string> {
  const prompt = createInterface({ input: stdin, output: process.stderr });
  try {
    return await prompt.question(question, { signal: interrupted.signal });
  } finally {
    prompt.close();
  }
}

const cli: Cli = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  env: process.env,
  distDir: resolve(import.meta.dirname, '..'),
  nowMs: Date.now,
  signal: interrupted.signal,
  connect: async (options) => {
    const replicas = natsReplicas(process.env);
    return connectJetStreamBus({
      ...(await busLogin(process.env)),
      ...(replicas === undefined ? {} : { limits: { replicas } }),
      ...options,
      source: `/nemuri/cli/${process.pid}`,
      name: 'cli',
    });
  },
  inspect: async (options) => inspectBus({ ...(await busLogin(process.env)), ...options }),
  ...(stdout.isTTY ? { terminal } : {}),
  ...(stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
};

process.exitCode = await runCli(process.argv.slice(2), cli, packageVersion());
