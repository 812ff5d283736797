import { readFileSync } from 'node:fs';

/** How many files and sockets this process may have open at once (soft limit); undefined: nobody says. */
export function openFilesLimit(limits = ownLimits()): number | undefined {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
  return Number.isNaN(limit) ? undefined : limit;
}

/** As Linux tells them (man 5 proc); elsewhere empty. */
function ownLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
