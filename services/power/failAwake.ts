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
    const asleep = failAwakeServers(fleet, name, whole).filter((server) => readings(server) === 'off');
    wakes.push(...asleep.slice(0, config.bounds.maxConcurrentWakes));
  }
  return wakes;
}
