import { type Capability, capabilitiesOf } from '../events/mod.ts';
import type { Fleet, ServerView } from './fleet.ts';
import type { Liveness } from './liveness.ts';
import type { SleepInProgress, WakeInProgress } from './server.ts';

interface About {
  readonly server: string;
}

/** What the power service shall do about one server now. Each is first published as a fact, then carried out. */
export type PowerAction = About &
  (
    | { readonly kind: 'requestWake'; readonly reason: string; readonly traceparent?: string }
    | {
        readonly kind: 'attemptWake';
        readonly wake: WakeInProgress;
        readonly rung: number;
        readonly attempt: number;
      }
    | {
        readonly kind: 'reportOverdue';
        readonly wake: WakeInProgress;
        readonly milestone: 'taken' | 'on' | 'ready';
        readonly expectedMs: number;
      }
    | { readonly kind: 'giveUpWake'; readonly wake: WakeInProgress; readonly reason: string }
    | { readonly kind: 'quarantine'; readonly untilMs: number; readonly reason: string }
    | {
        readonly kind: 'requestSleep';
        readonly reason: string;
        /** The first half of a power cycle of a hung server. */
        readonly mend?: boolean;
        readonly traceparent?: string;
      }
    | {
        readonly kind: 'attemptSleep';
        readonly sleep: SleepInProgress;
        readonly rung: number;
        readonly attempt: number;
        readonly forced: boolean;
      }
    | { readonly kind: 'cancelSleep'; readonly sleep: SleepInProgress; readonly reason: string }
    | { readonly kind: 'endCordon'; readonly untilMs: number }
    | { readonly kind: 'startDrill'; readonly asleepForMs: number; readonly reason: string }
    | { readonly kind: 'passDrill'; readonly drillId: string; readonly setupMs: number }
    | { readonly kind: 'failDrill'; readonly drillId: string; readonly reason: string }
  );

export type ActionOf<K extends PowerAction['kind']> = Extract<PowerAction, { readonly kind: K }>;

export interface PowerContext {
  readonly fleet: Fleet;
  readonly liveness: Liveness;
  readonly nowMs: number;
}

/** The servers that shall be awake, and why. */
export interface Wanted {
  readonly servers: ReadonlySet<string>;
  readonly reason: string;
  readonly traceparent?: string;
}

/** The first rung at or after `from` that can do this; undefined: none. */
export function rungThat({ config }: ServerView, capability: Capability, from = 0): number | undefined {
  const rung = config.power.findIndex(
    (method, index) => index >= from && capabilitiesOf(method).has(capability),
  );
  return rung < 0 ? undefined : rung;
}
