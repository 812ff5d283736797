import { resolve } from 'node:path';
import { messageOf } from '../../libs/runtime/errors.ts';
import { runArm } from './arm.ts';
import type { ArmMessage, ArmOrder } from './messages.ts';

/** The process of one arm: its order as JSON in the first argument. It ends with its parent. */
const abort = new AbortController();
const order = JSON.parse(process.argv[2] ?? '{}') as ArmOrder;
const tell = (message: ArmMessage) => {
  if (process.connected) process.send?.(message);
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => abort.abort(new Error('ended early')));
const untilGo = () =>
  new Promise<void>((resolve, reject) => {
    process.once('message', () => resolve());
    abort.signal.addEventListener('abort', () => reject(abort.signal.reason), { once: true });
    tell({ kind: 'ready' });
  });
process.on('disconnect', () => abort.abort(new Error('the trial is gone')));

// This file is dist/lab/trial/armProcess.js: two folders down from dist.
const distDir = resolve(import.meta.dirname, '../..');
try {
  await runArm(order, distDir, (line) => tell({ kind: 'say', line }), untilGo, abort.signal);
  tell({ kind: 'finished' });
} catch (error) {
  tell({ kind: 'failed', error: messageOf(error, 4_000) });
  process.exitCode = 1;
}
if (process.connected) process.disconnect();
