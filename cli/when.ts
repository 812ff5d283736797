import { CliError } from './cli.ts';
import { durationOf } from './duration.ts';

/**
 * Epoch milliseconds of a time as users write it: ISO 8601, `now`, or so long before now (`2h`, also `-2h`).
 * @throws CliError (2) naming the option and what it takes.
 */
export function timeOf(option: string, text: string, nowMs: number, alternatives = ''): number {
  const agoMs = text === 'now' ? 0 : durationOf(text.replace(/^-/, ''));
  if (agoMs !== undefined) return Math.max(0, nowMs - agoMs);
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(timeMs) && timeMs >= 0) return timeMs;
  throw new CliError(
    2,
    `${option} must be such as 30s, 10m, 2h, 7d, 2026-01-31T06:00:00Z${alternatives} (got "${text}")`,
  );
}
