import type { FleetConfig } from '../events/mod.ts';

/** What `nemuri power test` and the process that does it say to each other. */

export interface PowerTestJob {
  readonly server: string;
  readonly config: FleetConfig;
  /** Does one cycle; false: only reads. */
  readonly really: boolean;
}

export interface PowerTestStep {
  /**
   * `reads` and `meters`: what a rung says. `wouldWake` and `wouldSleep`: what would be sent. The others are the
   * cycle: a command sent, or what the machine did.
   */
  readonly step:
    | 'reads'
    | 'meters'
    | 'wouldWake'
    | 'wouldSleep'
    | 'sleeps'
    | 'isOff'
    | 'wakes'
    | 'isOn'
    | 'serves';
  /** Of the wake ladder, from 0. */
  readonly rung?: number;
  readonly driver?: string;
  readonly ok: boolean;
  readonly elapsedMs: number;
  /** In words. */
  readonly detail: string;
}

/** Over the channel to the parent process. */
export type PowerTestMessage =
  | { readonly kind: 'step'; readonly step: PowerTestStep }
  /** `problem`: why it could not go on to its end. */
  | { readonly kind: 'done'; readonly ok: boolean; readonly problem?: string };

/** Reads every server named, for `nemuri doctor`; nothing is switched. */
export interface ReadAllJob {
  readonly servers: readonly string[];
  readonly config: FleetConfig;
}

export type ReadAllMessage =
  | { readonly kind: 'step'; readonly server: string; readonly step: PowerTestStep }
  | { readonly kind: 'done' };
