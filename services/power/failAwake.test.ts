import { asleepState, fleetConfig, scriptedFleet, withServers } from '../../libs/domain/testing/builders.ts';
import { wakesWithoutBus } from './failAwake.ts';

const config = fleetConfig({
  servers: 3,
  pool: { failAwake: 'pool', failAwakeAfterMs: 1 },
  server: { feed: 'a' },
  bounds: { maxConcurrentWakesPerFeed: 2 },
});
const wakes = (s1: object) => {
  const fleet = withServers(scriptedFleet(config).fleet, { s1: { ...asleepState, ...s1 } });
  return wakesWithoutBus(fleet, 60_000, (server) => (server === 's1' ? 'unknown' : 'on'));
};

test('no more machines of one power feed start at a time than it bears', () => {
  const fleet = scriptedFleet(config).fleet;
  expect(wakesWithoutBus(fleet, 60_000, () => 'off')).toHaveLength(2);
});

test('where no power can be read, what is known to sleep is woken; what can’t be read just now is not', () => {
  expect(wakes({ powerInferred: true })).toEqual(['s1']);
  expect(wakes({})).toEqual([]);
});
