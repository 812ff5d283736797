import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../libs/runtime/errors.ts';
import { runTask, type Task } from './plannerTasks.ts';

parentPort?.on('message', async (task: Task) => {
  try {
    parentPort?.postMessage({ ok: true, outcome: await runTask(task) });
  } catch (error) {
    parentPort?.postMessage({ ok: false, message: messageOf(error, 4_000) });
  }
});
