import type { Bounds } from '../events/mod.ts';
import type { ServerView } from './fleet.ts';
import type { PowerState } from './server.ts';

/** A fact that a reading of the hardware brings to light. */
export type PowerFact =
  | { readonly type: 'ServerPoweredOn' }
  | { readonly type: 'ServerPoweredOff' }
  | { readonly type: 'PowerStateLost'; readonly error: string }
  | { readonly type: 'PowerDriftDetected'; readonly expected: 'on' | 'off'; readonly observed: 'on' | 'off' };

/** Unreadable so many times in a row, the power state is unknown. */
const readingsUntilLost = 3;

/** A reading that nobody asked for is believed when the next one says the same. */
const readingsUntilDrift = 2;
/** Hardware that contradicts itself again and again must say the same so many times. */
const readingsUntilSettled = 10;

type Reading = PowerState | 'failed';

/** What the hardware of one server has been saying, and how steadily. JSON all through. */
export interface ReadingTrack {
  readonly reading: Reading;
  readonly inARow: number;
  /** Epoch ms of the last changes of what it says, newest last. */
  readonly changedAtMs: readonly number[];
}

export const noReadings: ReadingTrack = { reading: 'unknown', inARow: 0, changedAtMs: [] };

/** Adds one reading, `failed` for one that could not be had. At most `maxFlaps` + 1 changes are remembered. */
export function trackReading(
  track: ReadingTrack,
  reading: Reading,
  { flapWindowMs, maxFlaps }: Pick<Bounds, 'flapWindowMs' | 'maxFlaps'>,
  nowMs: number,
): ReadingTrack {
  const recent = track.changedAtMs.filter((timeMs) => nowMs - timeMs < flapWindowMs);
  if (reading === track.reading) return { ...track, inARow: track.inARow + 1, changedAtMs: recent };
  const isFirst = track.inARow === 0;
  const changedAtMs = isFirst ? recent : [...recent, nowMs].slice(-(maxFlaps + 1));
  return { reading, inARow: 1, changedAtMs };
}

/**
 * What may be believed of the hardware by now: the facts that the fleet does not know yet. What we asked for is
 * believed at once, a surprise when it is read twice, a failure at the third; from hardware that has changed its
 * word more than `maxFlaps` times in `flapWindowMs`, nothing but what it says ten times in a row.
 */
export function factsOfTrack(
  server: ServerView,
  track: ReadingTrack,
  { maxFlaps }: Pick<Bounds, 'maxFlaps'>,
  error: string,
): PowerFact[] {
  const { state } = server;
  const isFlapping = track.changedAtMs.length > maxFlaps;
  if (track.reading === 'failed') {
    const needed = isFlapping ? readingsUntilSettled : readingsUntilLost;
    return track.inARow >= needed && state.powerState !== 'unknown'
      ? [{ type: 'PowerStateLost', error }]
      : [];
  }
  const needed = isFlapping
    ? readingsUntilSettled
    : isExpected(server, track.reading)
      ? 1
      : readingsUntilDrift;
  return track.inARow >= needed ? factsOfReading(server, track.reading) : [];
}

/** Did we ask the hardware for this, or know nothing better? */
function isExpected({ state }: ServerView, reading: PowerState): boolean {
  if (state.powerState === 'unknown') return true;
  if (reading === 'on') return state.wake !== undefined;
  return reading === 'off' && state.lifecycle === 'stopping';
}

/** What a fresh reading says that the fleet does not know yet. A transition (`poweringOn`) is no news. */
export function factsOfReading({ state }: ServerView, reading: PowerState): PowerFact[] {
  const isNews = state.powerState !== reading || state.powerInferred === true;
  if (reading === 'on' && isNews) {
    const drift =
      state.lifecycle === 'asleep' || (state.lifecycle === 'stopping' && state.powerState === 'off');
    const fact = { type: 'ServerPoweredOn' } as const;
    return drift ? [{ type: 'PowerDriftDetected', expected: 'off', observed: 'on' }, fact] : [fact];
  }
  if (reading === 'off' && isNews) {
    const serving = state.lifecycle === 'ready' || state.lifecycle === 'draining';
    const booting = state.lifecycle === 'waking' && state.wake?.poweredOnAtMs !== undefined;
    const drift = serving || booting;
    const fact = { type: 'ServerPoweredOff' } as const;
    return drift ? [{ type: 'PowerDriftDetected', expected: 'on', observed: 'off' }, fact] : [fact];
  }
  return [];
}
