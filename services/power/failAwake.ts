import {
  confirmMs,
  expectedReadyMs,
  type Fleet,
  failAwakeServers,
  type ServerView,
  serversOfPool,
  serverViewOf,
} from '../../libs/domain/mod.ts';
import { capabilitiesOf } from '../../libs/events/mod.ts';
import type { PowerState } from './drivers/driver.ts';

/** A wake to be sent by the hardware directly. */
export interface DirectWake {
  readonly server: string;
  readonly rung: number;
}

/** The wakes that one server has been sent since the bus was lost. */
export interface SentWakes {
  readonly count: number;
  readonly lastAtMs: number;
}

/**
 * The wakes to send directly, without a word on the bus, since the bus has been lost for too long: for the floor of
 * each pool, and after `failAwakeAfterMs` more, if the pool says so, for all of it. What is on is left alone; where
 * nobody can say, a wake harms nothing. At most `maxConcurrentWakes` of a pool boot at a time, those among them that
 * are on by now and can't serve yet: each has its time to show, then it is the turn of those that were asked longest
 * ago, and of the next rung of its ladder.
 * @param readings what the hardware says now.
 */
export function wakesWithoutBus(
  fleet: Fleet,
  lostForMs: number,
  readings: (server: string) => PowerState,
  sent: ReadonlyMap<string, SentWakes>,
  nowMs: number,
): DirectWake[] {
  const { config } = fleet;
  if (!config || lostForMs < config.bounds.busLostMs) return [];
  const { bounds } = config;
  const wakes: DirectWake[] = [];
  const onFeed = new Map<string, number>();
  for (const [name, pool] of Object.entries(config.pools)) {
    const whole = pool.failAwake === 'pool' && lostForMs >= bounds.busLostMs + pool.failAwakeAfterMs;
    const down = failAwakeServers(fleet, name, whole).flatMap((server) => {
      const view = serverViewOf(fleet, server);
      return view && mayBeDown(view, readings(server)) ? [view] : [];
    });
    const lastMs = ({ state }: ServerView) => sent.get(state.name)?.lastAtMs ?? 0;
    const countOf = ({ state }: ServerView) => sent.get(state.name)?.count ?? 0;
    const isStarting = (view: ServerView) => {
      const rung = rungNow(view, countOf(view));
      const method = rung === undefined ? undefined : view.config.power[rung];
      if (!method) return false;
      const isRead = readings(view.state.name) === 'off';
      return (
        nowMs - lastMs(view) < (isRead ? confirmMs(view, method, bounds) : expectedReadyMs(view, bounds))
      );
    };
    const isBooting = (view: ServerView) =>
      (readings(view.state.name) === 'on' || readings(view.state.name) === 'poweringOn') &&
      nowMs - lastMs(view) < expectedReadyMs(view, bounds);
    const starting = [...down.filter(isStarting), ...serversOfPool(fleet, name).filter(isBooting)];
    for (const {
      config: { feed },
    } of starting)
      if (feed) onFeed.set(feed, (onFeed.get(feed) ?? 0) + 1);
    let free = bounds.maxConcurrentWakes - starting.length;
    for (const view of down
      .filter((one) => !starting.includes(one))
      .sort((a, b) => lastMs(a) - lastMs(b) || countOf(a) - countOf(b))) {
      const { feed } = view.config;
      const rung = rungNow(view, countOf(view));
      const isFull = feed !== undefined && (onFeed.get(feed) ?? 0) >= bounds.maxConcurrentWakesPerFeed;
      if (free <= 0 || isFull || rung === undefined) continue;
      if (feed) onFeed.set(feed, (onFeed.get(feed) ?? 0) + 1);
      free -= 1;
      wakes.push({ server: view.state.name, rung });
    }
  }
  return wakes;
}

/** Each method that wakes has its turn. */
function rungNow({ config }: ServerView, sentCount: number): number | undefined {
  const rungs = config.power.flatMap((method, rung) => (capabilitiesOf(method).has('wake') ? [rung] : []));
  return rungs[sentCount % rungs.length];
}

/** Where no power can be read, what served when the bus was lost is taken to be on, and nothing else. */
function mayBeDown({ state }: ServerView, reading: PowerState): boolean {
  if (reading !== 'unknown') return reading === 'off';
  return !(state.lifecycle === 'ready' && state.health === 'healthy');
}
