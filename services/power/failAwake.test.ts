import type { ServerState } from '../../libs/domain/mod.ts';
import {
  asleepState,
  fleetConfig,
  readyState,
  scriptedFleet,
  startMs,
  withServers,
} from '../../libs/domain/testing/builders.ts';
import { type SentWakes, wakesWithoutBus } from './failAwake.ts';

const nowMs = startMs + 3_600_000;
const nothingSent = new Map<string, SentWakes>();
const setup = (bounds: object = {}, rest: object = {}) =>
  fleetConfig({ servers: 3, pool: { failAwake: 'pool', failAwakeAfterMs: 1 }, bounds, ...rest });
const unreadable = () => 'unknown' as const;

const wakes = (s1: Partial<ServerState>) => {
  const fleet = withServers(scriptedFleet(setup()).fleet, { s1 });
  const readings = (server: string) => (server === 's1' ? 'unknown' : 'on');
  return wakesWithoutBus(fleet, 60_000, readings, nothingSent, nowMs).map(({ server }) => server);
};

test('no more machines of one power feed start at a time than it bears', () => {
  const { fleet } = scriptedFleet(setup({ maxConcurrentWakesPerFeed: 2 }, { server: { feed: 'a' } }));
  expect(wakesWithoutBus(fleet, 60_000, () => 'off', nothingSent, nowMs)).toHaveLength(2);
});

test.each<[string, Partial<ServerState>, string[]]>([
  ['asleep, never to be read', { ...asleepState, powerInferred: true }, ['s1']],
  ['asleep, not to be read just now', asleepState, ['s1']],
  ['never looked at', {}, ['s1']],
  ['serving when the bus was lost', readyState, []],
  ['sick when the bus was lost', { ...readyState, health: 'unhealthy' }, ['s1']],
  ['cordoned', { ...asleepState, cordoned: true }, []],
])('where no power can be read: %s', (_what, s1, expected) => expect(wakes(s1)).toEqual(expected));

test('each has its turn, within the inrush bound, and each method of its ladder', () => {
  const { fleet } = scriptedFleet(
    setup({ maxConcurrentWakes: 2 }, { rungs: 2, server: { energy: { setupTimeMs: 1_000 } } }),
  );
  const sent = new Map<string, SentWakes>();
  const rounds: string[][] = [];
  for (let timeMs = nowMs; timeMs <= nowMs + 4_000; timeMs += 500) {
    const round = wakesWithoutBus(fleet, 60_000, unreadable, sent, timeMs);
    for (const { server } of round)
      sent.set(server, { count: (sent.get(server)?.count ?? 0) + 1, lastAtMs: timeMs });
    rounds.push(round.map(({ server, rung }) => `${server} rung ${rung}`));
  }
  expect(rounds.filter((round) => round.length > 0)).toEqual([
    ['s1 rung 0', 's2 rung 0'],
    ['s3 rung 0', 's1 rung 1'],
    ['s2 rung 1', 's3 rung 1'],
  ]);
});

test('what is on and still boots counts among those that boot at once, and no longer', () => {
  const { fleet } = scriptedFleet(
    setup({ maxConcurrentWakes: 2 }, { server: { energy: { setupTimeMs: 1_000 } } }),
  );
  const sent = new Map(['s1', 's2'].map((name) => [name, { count: 1, lastAtMs: nowMs }]));
  const readings = (server: string) => (server === 's1' ? 'on' : server === 's2' ? 'poweringOn' : 'off');
  const at = (timeMs: number) =>
    wakesWithoutBus(fleet, 60_000, readings, sent, timeMs).map(({ server }) => server);
  expect([at(nowMs + 900), at(nowMs + 60_000)]).toEqual([[], ['s3']]);
});

test('hardware that lies does not keep the others waiting', () => {
  const { fleet } = scriptedFleet(setup({ maxConcurrentWakes: 1 }));
  const sent = new Map([['s1', { count: 1, lastAtMs: nowMs - 120_000 }]]);
  expect(wakesWithoutBus(fleet, 60_000, () => 'off', sent, nowMs)).toEqual([{ server: 's2', rung: 0 }]);
});
