import cluster, { type Worker } from 'node:cluster';
import { createLogger } from '../../libs/runtime/log.ts';

export interface MasterOptions {
  /** Workers are called `<name>-0`, `<name>-1`, …: the names that load and drain events carry. */
  readonly name: string;
  readonly workers: number;
}

const restartDelaysMs = [0, 100, 500, 2_000, 5_000] as const;
/** A worker that lived this long has not failed at its start. */
const soundAfterMs = 10_000;

interface Slot {
  worker: Worker;
  readonly startedMs: number;
  /** Its successor serves: it ends when its last connection has. */
  leaving: boolean;
}

/**
 * The master holds the listening sockets and does nothing else: a worker may crash or be replaced while new
 * connections wait in its queue, none is refused. SIGHUP replaces every worker, one by one, without a lost request;
 * SIGTERM and SIGINT drain them and end.
 */
export function runMaster({ name, workers }: MasterOptions): void {
  if (!Number.isInteger(workers) || workers < 1 || workers > 64) {
    throw new Error(`NEMURI_PROXY_WORKERS must be an integer from 1 to 64 (got "${workers}")`);
  }
  // Workers take connections from the kernel themselves. Where Node's master hands them out, one that its worker can't
  // take (`maxConnections`, no file left) comes back to it without end, or is never told of, and the worker gets no more.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const log = createLogger('proxy-master', name, process.env.NEMURI_LOG_LEVEL ?? 'info');
  const slots = new Map<number, Slot>();
  let stopping = false;
  let failures = 0;

  const freeSlot = () => {
    let slot = 0;
    while (slots.has(slot)) slot += 1;
    return slot;
  };
  const start = (number: number): Slot => {
    const worker = cluster.fork({ NEMURI_NAME: `${name}-${number}` });
    const slot: Slot = { worker, startedMs: Date.now(), leaving: false };
    slots.set(number, slot);
    worker.on('message', (message: { kind?: string }) => {
      if (message.kind === 'started') process.send?.(message);
    });
    worker.once('exit', (code, signal) => onExit(number, slot, code, signal));
    return slot;
  };
  const onExit = (number: number, slot: Slot, code: number | null, signal: string | null) => {
    slots.delete(number);
    if (stopping) {
      if (slots.size === 0) process.exit(0);
      return;
    }
    if (slot.leaving) return;
    failures = Date.now() - slot.startedMs > soundAfterMs ? 0 : failures + 1;
    const delayMs = restartDelaysMs[Math.min(failures, restartDelaysMs.length - 1)] ?? 0;
    log.warn({ worker: number, code, signal, delayMs }, 'worker ended, starting it again');
    setTimeout(() => {
      if (!stopping && !slots.has(number)) start(number);
    }, delayMs);
  };
  const reload = async () => {
    for (const old of [...slots.values()].filter((slot) => !slot.leaving)) {
      const next = start(freeSlot());
      const served = await new Promise<boolean>((resolve) => {
        next.worker.once('message', () => resolve(true));
        next.worker.once('exit', () => resolve(false));
      });
      if (!served) return log.error('the new worker does not start; the old ones stay');
      old.leaving = true;
      old.worker.process.kill('SIGTERM');
    }
    log.info('reloaded');
  };
  const stop = () => {
    if (stopping) return;
    stopping = true;
    if (slots.size === 0) process.exit(0);
    for (const { worker } of slots.values()) worker.process.kill('SIGTERM');
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('disconnect', stop);
  process.on('SIGHUP', () => void reload());
  for (let number = 0; number < workers; number += 1) start(number);
}
