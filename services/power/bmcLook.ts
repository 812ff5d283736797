import type { BmcLookJob, BmcLookMessage } from '../../libs/runtime/bmcLook.ts';
import { resolveSecret } from '../../libs/runtime/secrets.ts';
import { lookAtBmc } from './drivers/redfishLook.ts';

/** The process behind `nemuri init`: reads the BMCs of one job from its parent, tells what it finds, and ends. */

const maxConcurrentLooks = 8;
const tell = (message: BmcLookMessage) => process.connected && process.send?.(message);

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
process.once('disconnect', () => process.exit(1));

process.once('message', async ({ bmcs, timeoutMs }: BmcLookJob) => {
  const waiting = [...bmcs];
  const work = async () => {
    for (let bmc = waiting.shift(); bmc; bmc = waiting.shift()) {
      tell({ kind: 'found', found: await lookAtBmc(bmc, { resolveSecret, now: Date.now }, timeoutMs) });
    }
  };
  await Promise.all(Array.from({ length: maxConcurrentLooks }, work));
  tell({ kind: 'done' });
  process.removeAllListeners('disconnect');
  process.disconnect();
});
