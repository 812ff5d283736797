import type { PowerState } from './driver.ts';
import { isObject, type JsonObject, linkOf, objectsOf, textOf } from './redfishOutcome.ts';

/** Which ResetType (DSP0268, Resource.ResetType) is sent for which wish. Pure. */

export type ResetType = 'On' | 'ForceOn' | 'ForceOff' | 'GracefulShutdown' | 'PushPowerButton' | 'Resume';

export type Wish = 'wake' | 'graceful' | 'forced';

const knownResetTypes = [
  'On',
  'ForceOff',
  'GracefulShutdown',
  'GracefulRestart',
  'ForceRestart',
  'Nmi',
  'ForceOn',
  'PushPowerButton',
  'PowerCycle',
  'Suspend',
  'Pause',
  'Resume',
  'FullPowerCycle',
];

// Longest first, so that no name is taken for the beginning of another.
const anyResetType = new RegExp([...knownResetTypes].sort((a, b) => b.length - a.length).join('|'), 'g');

/**
 * The reset types in a list as BMCs give it. Supermicro's X12 joins two of them into one entry
 * (`GracefulShutdownGracefulRestart`): such an entry is taken apart when nothing of it is left over.
 */
export function readAllowableValues(list: unknown): readonly string[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry) => {
    if (typeof entry !== 'string') return [];
    const rest = entry.replace(anyResetType, '').replace(/[\s,;|]/g, '');
    return rest === '' ? (entry.match(anyResetType) ?? []) : [entry];
  });
}

export interface ResetAction {
  readonly target: string;
  /** Empty: not said inline. */
  readonly allowed: readonly string[];
  readonly actionInfo: string | undefined;
}

/** The action `#ComputerSystem.Reset` of a system; undefined when it offers none. */
export function resetActionOf(system: JsonObject): ResetAction | undefined {
  const action = isObject(system.Actions) ? system.Actions['#ComputerSystem.Reset'] : undefined;
  const target = isObject(action) ? textOf(action.target) : undefined;
  if (!isObject(action) || target === undefined) return undefined;
  return {
    target,
    allowed: readAllowableValues(action['ResetType@Redfish.AllowableValues']),
    actionInfo: linkOf(action['@Redfish.ActionInfo']),
  };
}

/** The reset types that an ActionInfo resource lists; empty when it lists none. */
export function allowedByActionInfo(info: JsonObject): readonly string[] {
  const parameter = objectsOf(info.Parameters).find((entry) => entry.Name === 'ResetType');
  return readAllowableValues(parameter?.AllowableValues);
}

/**
 * The reset type for a wish. Without a list (`allowed` empty) the standard allows every one. The power button
 * does the opposite in the opposite state, so it is pressed only when that state was read.
 * Undefined: the system can't do it.
 */
export function chooseResetType(
  wish: Wish,
  state: PowerState,
  paused: boolean,
  allowed: readonly string[],
): ResetType | undefined {
  const ladders: Record<Wish, readonly ResetType[]> = {
    wake: [
      ...(paused ? (['Resume'] as const) : []),
      'On',
      'ForceOn',
      ...(state === 'off' ? (['PushPowerButton'] as const) : []),
    ],
    graceful: ['GracefulShutdown', ...(state === 'on' ? (['PushPowerButton'] as const) : [])],
    forced: ['ForceOff'],
  };
  const ladder = ladders[wish];
  return allowed.length === 0 ? ladder[0] : ladder.find((type) => allowed.includes(type));
}

const powerStates: Readonly<Record<string, PowerState>> = {
  on: 'on',
  off: 'off',
  poweringon: 'poweringOn',
  poweringoff: 'poweringOff',
  // It draws power; whether it serves is health's question.
  paused: 'on',
};

/** Redfish `PowerState` in Nemuri's words; absent, null or unheard-of: unknown. */
export function readPowerState(value: unknown): PowerState {
  return (typeof value === 'string' ? powerStates[value.toLowerCase()] : undefined) ?? 'unknown';
}

export function isPaused(system: JsonObject): boolean {
  return typeof system.PowerState === 'string' && system.PowerState.toLowerCase() === 'paused';
}
