import { curveWatts, type MachineModel } from './models.ts';

/** Redfish `ResetType` values the machine understands (DSP2046, ComputerSystem). */
export const resetTypes = [
  'On',
  'ForceOff',
  'GracefulShutdown',
  'GracefulRestart',
  'ForceRestart',
  'PushPowerButton',
] as const;
export type ResetType = (typeof resetTypes)[number];

/**
 * One machine. `poweringOn` and `booting` are one set-up in two parts: before and after the hardware says on.
 * `crashed`: on, but its origin process died by itself. `sinceMs` and all `…AtMs` are on the rack's monotonic clock.
 */
export type MachineState =
  | { readonly kind: 'off'; readonly sinceMs: number }
  | {
      readonly kind: 'poweringOn';
      readonly sinceMs: number;
      readonly onAtMs: number;
      readonly serveAtMs: number;
    }
  | {
      readonly kind: 'booting';
      readonly sinceMs: number;
      readonly serveAtMs: number;
      readonly opened: boolean;
    }
  | { readonly kind: 'serving'; readonly sinceMs: number }
  | { readonly kind: 'crashed'; readonly sinceMs: number }
  | {
      readonly kind: 'poweringOff';
      readonly sinceMs: number;
      readonly offAtMs: number;
      readonly thenOn: boolean;
    };
export type MachineKind = MachineState['kind'];

export interface MachineTimings {
  /** From the command to the origin's first answer. */
  readonly setupTimeMs: number;
  /** From the command until the hardware says on; never longer than the set-up. */
  readonly poweringOnMs: number;
  /** What the operating system takes to stop; a request that needs longer is cut. */
  readonly shutdownMs: number;
}

export type MachineInput =
  | { readonly kind: 'reset'; readonly resetType: ResetType }
  /** The host loses its supply at once. */
  | { readonly kind: 'cutPower' }
  | { readonly kind: 'timePassed' }
  | { readonly kind: 'originListening' }
  | { readonly kind: 'originExited' };

/** What is to happen to the origin process: start it (deaf), let it listen, SIGTERM, SIGKILL. */
export type MachineEffect = 'startOrigin' | 'openOrigin' | 'terminateOrigin' | 'killOrigin';

export interface MachineStep {
  readonly state: MachineState;
  readonly effects: readonly MachineEffect[];
}

export type RedfishPowerState = 'On' | 'Off' | 'PoweringOn' | 'PoweringOff';

const stay = (state: MachineState): MachineStep => ({ state, effects: [] });

function powerOn(nowMs: number, timings: MachineTimings): MachineStep {
  const { setupTimeMs } = timings;
  const onAtMs = nowMs + Math.min(timings.poweringOnMs, setupTimeMs);
  return {
    state: { kind: 'poweringOn', sinceMs: nowMs, onAtMs, serveAtMs: nowMs + setupTimeMs },
    effects: ['startOrigin'],
  };
}

function cut(state: MachineState, nowMs: number): MachineStep {
  if (state.kind === 'off') return stay(state);
  return { state: { kind: 'off', sinceMs: nowMs }, effects: ['killOrigin'] };
}

function shutDown(state: MachineState, nowMs: number, timings: MachineTimings, thenOn: boolean): MachineStep {
  switch (state.kind) {
    case 'off':
      return thenOn ? powerOn(nowMs, timings) : stay(state);
    case 'poweringOff':
      return stay({ ...state, thenOn });
    case 'poweringOn':
    case 'booting':
      // No operating system hears the button yet: firmware switches off at once.
      return thenOn ? restart(state, nowMs, timings) : cut(state, nowMs);
    case 'serving':
    case 'crashed':
      return {
        state: { kind: 'poweringOff', sinceMs: nowMs, offAtMs: nowMs + timings.shutdownMs, thenOn },
        effects: ['terminateOrigin'],
      };
  }
}

function restart(state: MachineState, nowMs: number, timings: MachineTimings): MachineStep {
  const on = powerOn(nowMs, timings);
  return { state: on.state, effects: [...cut(state, nowMs).effects, ...on.effects] };
}

function reset(
  state: MachineState,
  resetType: ResetType,
  nowMs: number,
  timings: MachineTimings,
): MachineStep {
  switch (resetType) {
    case 'On':
      return state.kind === 'off' ? powerOn(nowMs, timings) : stay(state);
    case 'ForceOff':
      return cut(state, nowMs);
    case 'GracefulShutdown':
      return shutDown(state, nowMs, timings, false);
    case 'GracefulRestart':
      return shutDown(state, nowMs, timings, true);
    case 'ForceRestart':
      return restart(state, nowMs, timings);
    case 'PushPowerButton':
      return state.kind === 'off' ? powerOn(nowMs, timings) : shutDown(state, nowMs, timings, false);
  }
}

function passTime(state: MachineState, nowMs: number, timings: MachineTimings): MachineStep {
  const dueMs = nextDueMs(state);
  if (dueMs === undefined || nowMs < dueMs) return stay(state);
  switch (state.kind) {
    case 'poweringOn':
      return passTime(
        { kind: 'booting', sinceMs: dueMs, serveAtMs: state.serveAtMs, opened: false },
        nowMs,
        timings,
      );
    case 'booting':
      return { state: { ...state, opened: true }, effects: ['openOrigin'] };
    case 'poweringOff':
      return state.thenOn ? restart(state, nowMs, timings) : cut(state, nowMs);
    default:
      return stay(state);
  }
}

/** The machine's next state and what happens to its origin process. Pure; unknown situations change nothing. */
export function evolve(
  state: MachineState,
  input: MachineInput,
  nowMs: number,
  timings: MachineTimings,
): MachineStep {
  switch (input.kind) {
    case 'reset':
      return reset(state, input.resetType, nowMs, timings);
    case 'cutPower':
      return cut(state, nowMs);
    case 'timePassed':
      return passTime(state, nowMs, timings);
    case 'originListening':
      return stay(state.kind === 'booting' ? { kind: 'serving', sinceMs: nowMs } : state);
    case 'originExited': {
      const isUp = state.kind === 'serving' || state.kind === 'booting' || state.kind === 'poweringOn';
      return stay(isUp ? { kind: 'crashed', sinceMs: nowMs } : state);
    }
  }
}

/** When the state changes by itself; undefined when only an input changes it. */
export function nextDueMs(state: MachineState): number | undefined {
  switch (state.kind) {
    case 'poweringOn':
      return state.onAtMs;
    case 'booting':
      return state.opened ? undefined : state.serveAtMs;
    case 'poweringOff':
      return state.offAtMs;
    default:
      return undefined;
  }
}

/** What the BMC says of it (DSP2046, Resource.PowerState). */
export function powerStateOf(state: MachineState): RedfishPowerState {
  switch (state.kind) {
    case 'off':
      return 'Off';
    case 'poweringOn':
      return 'PoweringOn';
    case 'poweringOff':
      return 'PoweringOff';
    default:
      return 'On';
  }
}

/** True power draw. `utilization`: busy share (0..1) of the origin's slots. */
export function machineWatts(model: MachineModel, state: MachineState, utilization: number): number {
  switch (state.kind) {
    case 'off':
      return model.offWatts;
    case 'poweringOn':
    case 'booting':
      return model.setupWatts;
    case 'crashed':
      return model.idleWatts;
    case 'serving':
    case 'poweringOff':
      return curveWatts(model, utilization);
  }
}
