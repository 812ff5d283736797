import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { PowerTestJob, PowerTestMessage } from '../../libs/runtime/powerTest.ts';
import { createProbe } from '../../libs/runtime/probe.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { createDriver } from './drivers/registry.ts';
import { testPower } from './powerTest.ts';

/** The process behind `nemuri power test`: takes one job from its parent, tells each step, and ends. */

const abort = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => abort.abort());
process.once('disconnect', () => abort.abort());
const noBus = () => Promise.reject(new Error('an agent can only be asked over the bus'));
const tell = (message: PowerTestMessage) => process.connected && process.send?.(message);

process.once('message', (job: PowerTestJob) => {
  const server = job.config.servers[job.server];
  const pool = job.config.pools[server?.pool ?? ''];
  const check = pool?.healthCheck;
  const probe = server && check && { ask: createProbe(server.url, check.probe), timeoutMs: check.timeoutMs };
  testPower({
    job,
    makeDriver: (name, method) => createDriver(name, method, { resolveSecret, now: Date.now, ask: noBus }),
    serves: async () => probe !== undefined && (await probe.ask(probe.timeoutMs)).ok,
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
