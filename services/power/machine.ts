import {
  factsOfTrack,
  noReadings,
  type PowerFact,
  type ServerView,
  trackReading,
} from '../../libs/domain/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import type { DriverSet } from './driverSet.ts';
import type { PowerState } from './drivers/driver.ts';

/** A reading that could not be stored in this time is stale: the hardware is read again. */
export const publishTimeoutMs = 5_000;

export interface Machine {
  /** What the last reading said; `unknown` before the first and after one that failed. */
  readonly lastReading: PowerState;
  /** Reads the hardware now. */
  lookNow(): void;
  stop(): Promise<void>;
}

export interface MachineOptions {
  readonly server: string;
  readonly view: FleetView;
  readonly drivers: DriverSet;
  readonly log: Logger;
  readonly serverView: () => ServerView | undefined;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** False: another replica follows the hardware. */
  readonly looks: () => boolean;
}

/** Follows the power state of one machine by its hardware, again and again, and publishes what is news. */
export function startMachine(options: MachineOptions): Machine {
  const { server, view, drivers, log, serverView } = options;
  let track = noReadings;
  let lastReading: PowerState = 'unknown';

  const look = async () => {
    if (!options.looks()) return;
    const driver = drivers.driverThat(server, 'readPower');
    if (!driver) return sayThatNoneReads();
    let problem = '';
    try {
      lastReading = await driver.readPower(options.signal);
      if (lastReading === 'unknown') problem = `${driver.name} says that the power state is unknown`;
    } catch (error) {
      lastReading = 'unknown';
      problem = messageOf(error);
      log.warn({ server, failures: track.inARow, error: problem }, 'power state not readable');
    }
    const bounds = view.fleet.config?.bounds;
    if (!bounds) return;
    const seen = serverView();
    track = trackReading(track, lastReading, seen, bounds, options.nowMs());
    const facts: PowerFact[] = seen ? factsOfTrack(seen, track, bounds, problem) : [];
    for (const fact of facts) {
      const now = serverView();
      if (!now || !(await view.record(draftOf(fact, now), publishTimeoutMs))) return;
      log.info({ server, ...fact }, fact.type);
    }
  };
  /** Its power is inferred from here on, which the others have to know. */
  const sayThatNoneReads = async () => {
    const seen = serverView();
    const names = drivers.driversOf(server).map(({ name }) => name);
    if (!seen || seen.state.powerInferred || names.length === 0) return;
    const data = { server, pool: seen.state.pool, drivers: names };
    await view.record({ type: 'PowerReadingUnavailable', data }, publishTimeoutMs);
  };
  const loop = startLoop({
    clock: options.clock,
    work: look,
    delayMs: () => view.fleet.config?.bounds.reconcileIntervalMs ?? 2_000,
    onError: (error) => log.warn({ server, error: messageOf(error) }, 'power fact not stored'),
  });
  return {
    get lastReading() {
      return lastReading;
    },
    lookNow: () => loop.wakeUp(),
    stop: () => loop.stop(),
  };
}

function draftOf(fact: PowerFact, { state }: ServerView): EventDraft {
  const about = { server: state.name, pool: state.pool };
  const trace = state.wake?.traceparent ? { traceparent: state.wake.traceparent } : {};
  switch (fact.type) {
    case 'ServerPoweredOn':
      return {
        type: fact.type,
        data: { ...about, ...(state.wake ? { wakeId: state.wake.wakeId } : {}) },
        ...trace,
      };
    case 'ServerPoweredOff':
      return {
        type: fact.type,
        data: { ...about, ...(state.sleep ? { sleepId: state.sleep.sleepId } : {}) },
      };
    case 'PowerStateLost':
      return { type: fact.type, data: { ...about, error: fact.error } };
    case 'PowerDriftDetected':
      return {
        type: fact.type,
        data: { ...about, expected: fact.expected, observed: fact.observed, lifecycle: state.lifecycle },
      };
  }
}
