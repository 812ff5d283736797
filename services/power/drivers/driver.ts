import type { PowerState } from '../../../libs/domain/mod.ts';
import type { Capability } from '../../../libs/events/mod.ts';

export type { Capability, PowerState };

export interface MeterReading {
  /** Watts; undefined when the hardware has no meter or says what can't be true (0 W while on). */
  readonly powerWatts: number | undefined;
  /** Where the figure was read, as an operator would look it up. */
  readonly source: string;
}

/**
 * One way to switch one machine. Every method can be cancelled by its signal, is bounded in time by the driver's
 * own settings, and is idempotent: waking what is on, or putting to sleep what is off, succeeds.
 */
export interface PowerDriver {
  readonly name: string;
  readonly capabilities: ReadonlySet<Capability>;

  /** Tells the machine to start. Resolves when the hardware took the command, not when it is on. */
  wake(signal: AbortSignal): Promise<void>;
  /** Tells the machine to stop: its operating system (`graceful`), or by cutting its power (`forced`). */
  sleep(how: 'graceful' | 'forced', signal: AbortSignal): Promise<void>;
  /** Never from a cache. */
  readPower(signal: AbortSignal): Promise<PowerState>;
  meter(signal: AbortSignal): Promise<MeterReading>;
  /** Logs out and frees sockets. */
  close(): Promise<void>;
}

/** Why the hardware did not do as told; `kind` says what may be done about it. */
export type DriverFailureKind =
  | 'unreachable' // no connection, reset, time-out
  | 'refused' // it answered and said no
  | 'unauthorized' // credentials or certificate
  | 'unsupported' // it can't do this at all
  | 'busy' // 429, 503: later
  | 'protocol'; // its answer makes no sense

export class DriverError extends Error {
  readonly code = 'NEMURI_DRIVER';
  readonly kind: DriverFailureKind;
  readonly retryAfterMs: number | undefined;
  constructor(
    kind: DriverFailureKind,
    message: string,
    options: ErrorOptions & { retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.name = 'DriverError';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }
}
