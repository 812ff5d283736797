import { messageOf } from '../../libs/runtime/errors.ts';
import type { PowerTestStep, ReadAllJob, ReadAllMessage } from '../../libs/runtime/powerTest.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { createDriver } from './drivers/registry.ts';
import { testPower } from './powerTest.ts';

/** The process behind `nemuri doctor`: reads each server by each of its methods, tells what they say, and ends. */

const maxConcurrentReads = 16;
const abort = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => abort.abort());
process.once('disconnect', () => abort.abort());
const noBus = () => Promise.reject(new Error('an agent can only be asked over the bus'));
const tell = (message: ReadAllMessage) => process.connected && process.send?.(message);

async function read(server: string, config: ReadAllJob['config']): Promise<void> {
  const onStep = (step: PowerTestStep) => tell({ kind: 'step', server, step });
  await testPower({
    job: { server, config, really: false },
    makeDriver: (name, method) => createDriver(name, method, { resolveSecret, now: Date.now, ask: noBus }),
    serves: async () => false,
    pause: async () => undefined,
    nowMs: () => performance.now(),
    onStep,
    signal: abort.signal,
  }).catch((error) => onStep({ step: 'reads', ok: false, elapsedMs: 0, detail: messageOf(error) }));
}

process.once('message', async ({ servers, config }: ReadAllJob) => {
  const waiting = [...servers];
  const work = async () => {
    for (let server = waiting.shift(); server !== undefined; server = waiting.shift())
      await read(server, config);
  };
  await Promise.all(Array.from({ length: maxConcurrentReads }, work));
  tell({ kind: 'done' });
  process.removeAllListeners('disconnect');
  if (process.connected) process.disconnect();
});
