import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Threads that take tasks one after the other. */
export interface Workers {
  /** Each task runs on the next free thread. @throws Error of the first task that failed. */
  run(task: unknown): Promise<unknown>;
  close(): Promise<void>;
}

interface Answer {
  readonly ok: boolean;
  readonly outcome?: unknown;
  readonly message?: string;
}

/** @param file a module that answers each message with `{ ok, outcome }` or `{ ok: false, message }`. */
export function createWorkers(file: string, count: number): Workers {
  const threads = Array.from({ length: count }, () => new Worker(file));
  const free = [...threads];
  const queue: ((thread: Worker) => void)[] = [];
  const take = (): Promise<Worker> => {
    const thread = free.pop();
    return thread ? Promise.resolve(thread) : new Promise((resolve) => queue.push(resolve));
  };
  const giveBack = (thread: Worker) => {
    const next = queue.shift();
    if (next) next(thread);
    else free.push(thread);
  };
  return {
    async run(task) {
      const thread = await take();
      try {
        thread.postMessage(task);
        const [answer] = (await once(thread, 'message')) as [Answer];
        if (!answer.ok) throw new Error(answer.message ?? 'a task failed');
        return answer.outcome;
      } finally {
        giveBack(thread);
      }
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}
