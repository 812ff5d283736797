import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import type { PoolConfig } from '../../libs/events/mod.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { PowerTestJob, PowerTestMessage } from '../../libs/runtime/powerTest.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { createDriver } from './drivers/registry.ts';
import { testPower } from './powerTest.ts';

/** The process behind `nemuri power test`: takes one job from its parent, tells each step, and ends. */

async function servesNow(url: string, { healthCheck }: PoolConfig, signal: AbortSignal): Promise<boolean> {
  const { probe, timeoutMs } = healthCheck;
  const bound = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  if (probe.kind === 'tcp') return accepts(new URL(url), bound);
  const headers = probe.host === undefined ? {} : { host: probe.host };
  const answer = await request(new URL(probe.path, url), { headers, signal: bound }).catch(() => undefined);
  await answer?.body.dump();
  return (
    answer !== undefined &&
    answer.statusCode >= probe.expectStatusMin &&
    answer.statusCode <= probe.expectStatusMax
  );
}

function accepts({ hostname, port, protocol }: URL, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(port) || (protocol === 'https:' ? 443 : 80), hostname);
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
    signal.addEventListener('abort', () => end(false), { once: true });
  });
}

const abort = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => abort.abort());
process.once('disconnect', () => abort.abort());
const tell = (message: PowerTestMessage) => process.connected && process.send?.(message);

process.once('message', (job: PowerTestJob) => {
  const server = job.config.servers[job.server];
  const pool = job.config.pools[server?.pool ?? ''];
  testPower({
    job,
    makeDriver: (name, method) => createDriver(name, method, { resolveSecret, now: Date.now }),
    serves: async (signal) =>
      server !== undefined && pool !== undefined && servesNow(server.url, pool, signal),
    pause: (delayMs) => pause(delayMs),
    nowMs: () => performance.now(),
    onStep: (step) => tell({ kind: 'step', step }),
    signal: abort.signal,
  })
    .then(
      (ok) => tell({ kind: 'done', ok }),
      (error) => tell({ kind: 'done', ok: false, problem: messageOf(error) }),
    )
    .finally(() => process.connected && process.disconnect());
});
