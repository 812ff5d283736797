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

/**
 * Adds one reading, `failed` for one that could not be had; hardware that says unknown says as little. What is on its
 * way (`poweringOn`) says nothing either way.
 * Changes that we asked for are not remembered; of the others at most `maxFlaps` + 1.
 */
export function trackReading(
  track: ReadingTrack,
  said: Reading,
  server: ServerView | undefined,
  { flapWindowMs, maxFlaps }: Pick<Bounds, 'flapWindowMs' | 'maxFlaps'>,
  nowMs: number,
): ReadingTrack {
  if (said === 'poweringOn' || said === 'poweringOff') return track;
  const reading = said === 'unknown' ? 'failed' : said;
  const recent = track.changedAtMs.filter((timeMs) => nowMs - timeMs < flapWindowMs);
  if (reading === track.reading) return { ...track, inARow: track.inARow + 1, changedAtMs: recent };
  const isSurprise = track.inARow > 0 && !(server && isAskedFor(server, reading));
  const changedAtMs = isSurprise ? [...recent, nowMs].slice(-(maxFlaps + 1)) : recent;
  return { reading, inARow: 1, changedAtMs };
}

/**
 * What may be believed of the hardware by now: the facts that the fleet does not know yet. What we asked for, or a
 * probe says too, is believed at once, a surprise when it is read twice, a failure at the third; from hardware that
 * has changed its word more than `maxFlaps` times in `flapWindowMs`, nothing else but what it says ten times in a row.
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
  return track.inARow >= readingsNeeded(server, track.reading, isFlapping)
    ? factsOfReading(server, track.reading)
    : [];
}

function readingsNeeded(server: ServerView, reading: PowerState, isFlapping: boolean): number {
  if (isAskedFor(server, reading) || (reading === 'on' && server.state.health === 'healthy')) return 1;
  if (isFlapping) return readingsUntilSettled;
  return server.state.powerState === 'unknown' ? 1 : readingsUntilDrift;
}

/** Is this what our wake or sleep under way is to bring about? */
function isAskedFor({ state }: ServerView, reading: Reading): boolean {
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
