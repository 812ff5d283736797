import { setTimeout as sleepFor } from 'node:timers/promises';
import {
  type Answer,
  type JsonObject,
  linkOf,
  parseObject,
  taskMessage,
  taskOutcome,
  textOf,
} from './redfishOutcome.ts';
import type { Redact } from './secretKeeper.ts';

/** Follows what a BMC answered with 202 to its end (DSP0266: asynchronous operations, task monitors). */

export interface TaskWatch {
  /** GET of the monitor; an answer of any status. */
  readonly look: () => Promise<Answer>;
  /** The wait that an answer's Retry-After asks for. */
  readonly askedWaitMs: (answer: Answer) => number | undefined;
  readonly redact: Redact;
  readonly pollMs: number;
  readonly signal: AbortSignal;
}

export type TaskEnd =
  | { readonly kind: 'done' }
  /** The monitor's last answer is that of the command itself. */
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'failed'; readonly message: string; readonly status: number };

const longestPollMs = 10_000;

/** Where a 202 says that its task can be watched; undefined when it does not say. */
export function monitorOf(accepted: Answer): string | undefined {
  const task = parseObject(accepted.body);
  return accepted.headers.get('location') ?? textOf(task?.TaskMonitor) ?? linkOf(task);
}

function endOf(last: Answer, redact: Redact): TaskEnd | undefined {
  // A monitor that is gone had its end: what came of it is read from the power state.
  if (last.status === 404 || last.status === 410) return { kind: 'done' };
  const task = parseObject(last.body);
  if (!isTask(task))
    return last.status === 202 || last.status === 503 ? undefined : { kind: 'answered', answer: last };
  const outcome = taskOutcome(task);
  if (outcome === 'failed')
    return { kind: 'failed', message: taskMessage(task, redact), status: last.status };
  return outcome === 'done' ? { kind: 'done' } : undefined;
}

function isTask(body: JsonObject | undefined): body is JsonObject {
  return textOf(body?.TaskState) !== undefined;
}

/** Looks until the task has ended; throws what `look` throws, or the signal's reason. */
export async function watchTask(accepted: Answer, watch: TaskWatch): Promise<TaskEnd> {
  for (let last = accepted; ; ) {
    const end = endOf(last, watch.redact);
    if (end) return end;
    const waitMs = Math.min(longestPollMs, Math.max(watch.pollMs, watch.askedWaitMs(last) ?? 0));
    await sleepFor(waitMs, undefined, { signal: watch.signal }).catch(() => {});
    watch.signal.throwIfAborted();
    last = await watch.look();
  }
}
