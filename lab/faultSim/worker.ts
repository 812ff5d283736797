import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../libs/runtime/errors.ts';
import { type RunOptions, runSeed } from './run.ts';

let rejection: unknown;
process.on('unhandledRejection', (reason) => {
  rejection ??= reason;
});

parentPort?.on('message', async (options: RunOptions) => {
  rejection = undefined;
  try {
    const outcome = await runSeed(options);
    const violation =
      rejection === undefined ? outcome.violation : `a promise was rejected unheard: ${messageOf(rejection)}`;
    parentPort?.postMessage({ ok: true, outcome: { ...outcome, violation } });
  } catch (error) {
    parentPort?.postMessage({ ok: false, message: messageOf(error, 4_000) });
  }
});
