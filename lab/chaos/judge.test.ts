import { draftOf, fleetConfig, recorded } from '../../libs/domain/testing/builders.ts';
import type { EventData, EventOf, EventType, RecordedEvent } from '../../libs/events/mod.ts';
import type { PowerCommand } from '../rack/powerLog.ts';
import { type Evidence, judgePower } from './judge.ts';

const second = 1_000;
type Line = { [T in EventType]: [number, T, Partial<EventData<T>>, string?] }[EventType];

function historyOf(lines: readonly Line[]): RecordedEvent[] {
  return lines.map(([atMs, type, data, source = '/nemuri/power/power-a'], index) => ({
    ...recorded(draftOf(type, data as never), atMs, index + 1),
    source,
  }));
}

const about = (server: string) => ({ server, pool: 'web' });
const ready = (server: string): Line[] => [
  [1 * second, 'ServerPoweredOn', about(server)],
  [2 * second, 'ServerBecameHealthy', about(server)],
];
const sleep = { ...about('s1'), sleepId: 'z1' };
/** Two servers serve; s1 is drained and switched off at 20 s. */
const story: Line[] = [
  [0, 'FleetConfigured', { config: fleetConfig({ servers: 2, pool: { minServers: 1 } }) }],
  ...ready('s1'),
  ...ready('s2'),
  [10 * second, 'SleepRequested', sleep],
  [11 * second, 'ServerDrained', { ...sleep, proxy: 'p1' }],
  [19 * second, 'SleepAttempted', { ...sleep, attempt: 1, forced: false }],
];
const command: PowerCommand = {
  atMs: 20 * second,
  server: 's1',
  resetType: 'GracefulShutdown',
  before: 'serving',
  inFlight: 0,
};

function rulesOf(given: Partial<Omit<Evidence, 'history'>> & { history?: readonly Line[] }): string[] {
  const { history = story, commands = [command], leases = [], noSleep = [] } = given;
  return judgePower({ history: historyOf(history), commands, leases, noSleep }).map(({ rule }) => rule);
}
const lease = (atMs: number, replica: string) =>
  historyOf([[atMs, 'LeaseHeld', { service: 'power', replica }]]) as EventOf<'LeaseHeld'>[];

test('a sleep that keeps every rule is right', () => {
  expect(rulesOf({ leases: lease(18 * second, 'power-a') })).toEqual([]);
});

const crimes: [string, Parameters<typeof rulesOf>[0]][] = [
  ['noAttempt', { history: story.slice(0, -1) }],
  ['noAttempt', { history: [...story, [19.5 * second, 'SleepCancelled', sleep]] }],
  ['noAttempt', { commands: [{ ...command, resetType: 'ForceOff', server: 's2' }] }],
  ['noAttempt', { commands: [{ ...command, atMs: 60 * second }] }],
  ['requestsInFlight', { commands: [{ ...command, inFlight: 1 }] }],
  ['belowFloor', { history: [...story.slice(0, 3), ...story.slice(5)] }],
  ['staleLeader', { leases: [...lease(18 * second, 'power-a'), ...lease(19.2 * second, 'power-b')] }],
  [
    'cordoned',
    { history: [...story.slice(0, -1), [15 * second, 'ServerCordoned', about('s1')], ...story.slice(-1)] },
  ],
  ['double', { commands: [command, { ...command, atMs: 20.1 * second }] }],
  ['failAwake', { noSleep: [{ fromMs: 19 * second, toMs: 40 * second, why: 'the planner is gone' }] }],
];
test.each(crimes)('%s is found (%#)', (rule, given) => {
  expect(rulesOf(given)).toEqual([rule]);
});

test('what the drain time-out gave up is not held against the command', () => {
  const history: Line[] = [
    ...story.slice(0, -2),
    [18 * second, 'DrainTimedOut', { ...sleep, proxy: 'p1' }],
    ...story.slice(-1),
  ];
  expect(rulesOf({ history, commands: [{ ...command, inFlight: 3 }] })).toEqual([]);
});

test('a wake that began after the cordon is found, one that began before it is not', () => {
  const on: PowerCommand = { ...command, resetType: 'On', before: 'off' };
  const cordon: Line = [5 * second, 'ServerCordoned', about('s1')];
  const wake = (atMs: number): Line => [atMs, 'WakeRequested', { ...about('s1'), wakeId: 'w1' }];
  const [configured] = story;
  if (!configured) throw new Error('no story');
  expect(rulesOf({ history: [configured, cordon, wake(8 * second)], commands: [on] })).toEqual(['cordoned']);
  expect(rulesOf({ history: [configured, wake(4 * second), cordon], commands: [on] })).toEqual([]);
});
