import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when the condition holds. @throws Error after `timeoutMs`, which only bounds a wait in vain. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${condition}`);
    await delay(5);
  }
}
