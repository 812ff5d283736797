import type { ResetType } from './machine.ts';
import type { TaskView } from './resources.ts';

/** The tasks of one BMC, the newest 32. */
export interface Tasks {
  /** Starts a task that ends by itself after `durationMs`; `onCompleted` is called when it ends well. */
  start(
    resetType: ResetType,
    durationMs: number,
    outcome: 'Completed' | 'Exception',
    onCompleted: () => void,
  ): TaskView;
  list(): readonly TaskView[];
  /** Drops all that still run. */
  close(): void;
}

const maxTasks = 32;

export function createTasks(): Tasks {
  let tasks: readonly TaskView[] = [];
  let count = 0;
  const timers = new Set<NodeJS.Timeout>();
  return {
    start(resetType, durationMs, outcome, onCompleted) {
      count += 1;
      const started: TaskView = { id: String(count), state: 'Running', resetType };
      tasks = [...tasks, started].slice(-maxTasks);
      const timer = setTimeout(() => {
        timers.delete(timer);
        tasks = tasks.map((task) => (task.id === started.id ? { ...task, state: outcome } : task));
        if (outcome === 'Completed') onCompleted();
      }, durationMs);
      timers.add(timer);
      return started;
    },
    list: () => tasks,
    close() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}
