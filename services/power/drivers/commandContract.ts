import type { ChildEnd } from './childProcess.ts';
import { DriverError, type DriverFailureKind, type PowerState } from './driver.ts';
import { wattsOf } from './meterReading.ts';
import { oneLine, type Redact } from './secretKeeper.ts';

/**
 * What an operator's own command (exec, ssh) says by its exit code, as sysexits.h has them, and by its output.
 */
const kindsByExitCode: Readonly<Record<number, DriverFailureKind>> = {
  64: 'unsupported', // EX_USAGE
  69: 'unreachable', // EX_UNAVAILABLE
  75: 'busy', // EX_TEMPFAIL
  76: 'protocol', // EX_PROTOCOL
  77: 'unauthorized', // EX_NOPERM
  126: 'unsupported', // a shell: can't be run
  127: 'unsupported', // a shell: not found
};

/** Nothing when the command ended with 0. @throws DriverError of the kind that its exit code stands for. */
export function checkExit(end: ChildEnd, what: string, redact: Redact): void {
  if (end.exitCode === 0) return;
  const told = oneLine(end.stderr || end.stdout, redact);
  const text = `${what} ended with ${end.exitCode}${told ? `: ${told}` : ''}`;
  throw new DriverError(kindsByExitCode[end.exitCode] ?? 'refused', text);
}

const powerStates: Readonly<Record<string, PowerState>> = {
  on: 'on',
  off: 'off',
  poweringon: 'poweringOn',
  poweringoff: 'poweringOff',
  unknown: 'unknown',
};

/** The power state that a command printed: one of Nemuri's words and nothing else. */
export function printedState({ stdout }: ChildEnd, what: string, redact: Redact): PowerState {
  const state = powerStates[stdout.trim().toLowerCase()];
  if (state) return state;
  throw new DriverError('protocol', `${what} must print on or off (got "${oneLine(stdout, redact)}")`);
}

/** The watts that a command printed; nothing printed: no figure now. */
export function printedWatts({ stdout }: ChildEnd, what: string, redact: Redact): number | undefined {
  if (stdout.trim() === '') return undefined;
  const watts = wattsOf(stdout);
  if (watts !== undefined) return watts;
  throw new DriverError(
    'protocol',
    `${what} must print a number of watts (got "${oneLine(stdout, redact)}")`,
  );
}
