import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { cpuSecondsOf, residentKiBOf, run } from './processes.ts';
import type { Contestant, Site } from './rivals.ts';

/** As many requests as a contestant can take, for a while. */
export interface Run {
  readonly requests: number;
  readonly failed: number;
  readonly cpuMicros: number;
  readonly requestsPerSecond: number;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function saturate(
  contestant: Contestant,
  body: string,
  seconds: number,
  connections: number,
): Promise<Run> {
  const url = `http://127.0.0.1:${contestant.port}/${body}`;
  const pids = contestant.pids();
  const before = cpuSecondsOf(pids);
  const out = await run('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, url]);
  const cpuSeconds = cpuSecondsOf(pids) - before;
  const requests = Number(/(\d+) requests in/.exec(out)?.[1] ?? 0);
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(out)?.[1] ?? '0';
  return {
    requests,
    failed: Number(errors),
    cpuMicros: (cpuSeconds / requests) * 1e6,
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)?.[1] ?? 0),
  };
}

/** The times that requests take when all contestants get the same number of them. */
export async function atRate(
  contestant: Contestant,
  site: Site,
  seconds: number,
  rps: number,
  connections: number,
): Promise<Latency> {
  const log = join(site.folder, `${contestant.name}-latency.log`);
  const each = Math.ceil((rps * seconds) / connections);
  const args = [
    '--h1',
    `-c${connections}`,
    `-n${each * connections}`,
    `--rps=${(rps / connections).toFixed(3)}`,
    `--log-file=${log}`,
    `http://127.0.0.1:${contestant.port}/small`,
  ];
  await rm(log, { force: true });
  await run('h2load', args);
  const micros = (await readFile(log, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]))
    .sort((a, b) => a - b);
  const quantile = (share: number) => (micros[Math.floor(share * (micros.length - 1))] ?? 0) / 1_000;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

/** Connections opened at once. */
const openingAtOnce = 100;

/**
 * Memory of the contestant's processes that idle keep-alive connections cost, in KiB for 10,000 of them: each has
 * made one request. `idle` is how many were held; a contestant may have closed some.
 */
export async function idleMemory(contestant: Contestant, count: number) {
  const sockets: Socket[] = [];
  const before = residentKiBOf(contestant.pids());
  try {
    for (let opened = 0; opened < count; opened += openingAtOnce) {
      const some = Array.from({ length: Math.min(openingAtOnce, count - opened) }, () =>
        idle(contestant.port),
      );
      sockets.push(...(await Promise.all(some)));
    }
    const held = sockets.filter((socket) => !socket.destroyed).length;
    const more = residentKiBOf(contestant.pids()) - before;
    return { idle: held, kibPer10000: Math.round((more * 10_000) / Math.max(1, held)) };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

async function idle(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET /small HTTP/1.1\r\nHost: a\r\n\r\n');
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes > 1_024) socket.emit('answered');
  });
  await Promise.race([once(socket, 'answered'), once(socket, 'close')]);
  return socket;
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
