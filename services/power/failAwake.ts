import { type Fleet, failAwakeServers } from '../../libs/domain/mod.ts';
import type { PowerState } from './drivers/driver.ts';

/**
 * The servers to wake directly, without a word on the bus, since the bus has been lost for too long: the floor of
 * each pool, and after `failAwakeAfterMs` more, if the pool says so, all of it. Those that are on are left alone; at
 * most `maxConcurrentWakes` of a pool come at a time.
 * @param readings what the hardware says now.
 */
export function wakesWithoutBus(
  fleet: Fleet,
  lostForMs: number,
  readings: (server: string) => PowerState,
): string[] {
  const { config } = fleet;
  if (!config || lostForMs < config.bounds.busLostMs) return [];
  const wakes: string[] = [];
  for (const [name, pool] of Object.entries(config.pools)) {
    const whole = pool.failAwake === 'pool' && lostForMs >= config.bounds.busLostMs + pool.failAwakeAfterMs;
    const asleep = failAwakeServers(fleet, name, whole).filter((server) =>
      isOff(fleet, server, readings(server)),
    );
    wakes.push(...asleep.slice(0, config.bounds.maxConcurrentWakes));
  }
  return withinFeeds(fleet, wakes);
}

/** Where no power can be read, what was known before the bus was lost has to do. */
function isOff(fleet: Fleet, server: string, reading: PowerState): boolean {
  const state = fleet.servers[server];
  return reading === 'off' || (state?.powerInferred === true && state.powerState === 'off');
}

/** No more on one power feed at a time than it bears. */
function withinFeeds({ config }: Fleet, wakes: readonly string[]): string[] {
  const counts = new Map<string, number>();
  return wakes.filter((server) => {
    const feed = config?.servers[server]?.feed;
    if (feed === undefined) return true;
    const count = (counts.get(feed) ?? 0) + 1;
    counts.set(feed, count);
    return count <= (config?.bounds.maxConcurrentWakesPerFeed ?? 0);
  });
}
