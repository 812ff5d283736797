import fc from 'fast-check';
import { foldInto } from './fleet.ts';
import { planPower } from './powerControl.ts';
import { factsOfTrack, noReadings, type ReadingTrack, trackReading } from './readings.ts';
import type { PowerState, ServerState } from './server.ts';
import {
  asleepState,
  draftOf,
  fleetConfig,
  readyState,
  recorded,
  scriptedFleet,
  startMs,
  viewOf,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';

const { bounds } = fleetConfig();
type Reading = PowerState | 'failed';

function factsAfter(s1: Partial<ServerState>, readings: readonly Reading[]): string[] {
  const server = viewOf(withServers(scriptedFleet().fleet, { s1 }), 's1');
  const track = readings.reduce<ReadingTrack>(
    (known, reading, index) => trackReading(known, reading, server, bounds, startMs + index * 2_000),
    noReadings,
  );
  return factsOfTrack(server, track, bounds, 'unreachable').map(({ type }) => type);
}
const wake = {
  wakeId: 'w1',
  requestedAtMs: startMs,
  reason: 'test',
  rung: 0,
  attempt: 1,
  attemptedAtMs: startMs,
  attemptFailed: false,
};

test.each<[string, Partial<ServerState>, Reading[], string[]]>([
  ['the first look', { powerState: 'unknown' }, ['on'], ['ServerPoweredOn']],
  ['on, as asked for', { lifecycle: 'waking', powerState: 'off', wake }, ['on'], ['ServerPoweredOn']],
  ['off, as asked for', { lifecycle: 'stopping', powerState: 'on' }, ['off'], ['ServerPoweredOff']],
  ['off out of the blue, read once', readyState, ['on', 'off'], []],
  [
    'off out of the blue, read twice',
    readyState,
    ['on', 'off', 'off'],
    ['PowerDriftDetected', 'ServerPoweredOff'],
  ],
  ['on by hand, read twice', asleepState, ['on', 'on'], ['PowerDriftDetected', 'ServerPoweredOn']],
  ['not to be had, twice', readyState, ['on', 'failed', 'failed'], []],
  ['not to be had, three times', readyState, ['on', 'failed', 'failed', 'failed'], ['PowerStateLost']],
  ['unknown by its own word', readyState, ['on', 'unknown', 'failed', 'unknown'], ['PowerStateLost']],
  ['unknown from the first look on', { powerState: 'unknown' }, ['unknown', 'unknown', 'unknown'], []],
])('%s', (_what, s1, readings, expected) => {
  expect(factsAfter(s1, readings)).toEqual(expected);
});

test('from hardware that flaps only what it says ten times in a row is believed', () => {
  const flapping = Array.from({ length: 12 }, (_, index): Reading => (index % 2 === 0 ? 'on' : 'off'));
  const off = (times: number) => Array<Reading>(times).fill('off');
  expect(factsAfter(readyState, [...flapping, ...off(8)])).toEqual([]);
  expect(factsAfter(readyState, [...flapping, ...off(9)])).toContain('ServerPoweredOff');
});

test('changes that we asked for are no flapping', () => {
  const server = viewOf(withServers(scriptedFleet().fleet, { s1: { lifecycle: 'waking', wake } }), 's1');
  const stopping = viewOf(withServers(scriptedFleet().fleet, { s1: { lifecycle: 'stopping' } }), 's1');
  let track = noReadings;
  for (let cycle = 0; cycle < 20; cycle += 1) {
    track = trackReading(track, 'on', server, bounds, startMs);
    track = trackReading(track, 'poweringOff', stopping, bounds, startMs);
    track = trackReading(track, 'off', stopping, bounds, startMs);
  }
  expect(track.changedAtMs).toEqual([]);
});

test('whatever a BMC says in ten minutes, the facts and the commands that follow are few', () => {
  const reading = fc.constantFrom<Reading>('on', 'off', 'failed', 'poweringOn', 'unknown');
  // Runs, so that readings also stay for a while.
  const runs = fc.array(fc.tuple(reading, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(runs, (said) => {
      const { fleet: configured } = scriptedFleet(fleetConfig({ servers: 2 }));
      const fleet = withServers(configured, { s1: readyState, s2: readyState });
      const readings = said.flatMap(([value, times]) => Array<Reading>(times).fill(value)).slice(0, 300);
      let track = noReadings;
      let facts = 0;
      let commands = 0;
      const fold = (type: Parameters<typeof draftOf>[0], data: object, atMs: number) =>
        foldInto(fleet, recorded(draftOf(type, data), atMs, fleet.sequence + 1));
      for (const [index, value] of readings.entries()) {
        const atMs = startMs + index * 2_000;
        track = trackReading(track, value, viewOf(fleet, 's1'), bounds, atMs);
        for (const { type } of factsOfTrack(viewOf(fleet, 's1'), track, bounds, 'unreachable')) {
          facts += 1;
          fold(type, {}, atMs);
        }
        const decided = withDecision(fleet, ['s1', 's2'], atMs);
        for (const action of planPower({ fleet: decided, liveness: witnesses(atMs), nowMs: atMs })) {
          if (action.server !== 's1') continue;
          if (action.kind === 'requestWake') fold('WakeRequested', { wakeId: `w${index}` }, atMs);
          if (action.kind === 'attemptWake') {
            commands += 1;
            fold('WakeAttempted', { wakeId: action.wake.wakeId, rung: 0, attempt: action.attempt }, atMs);
          }
        }
      }
      // Each believed change is at most drift and state; past six changes each costs ten readings.
      expect(facts).toBeLessThanOrEqual(2 * (bounds.maxFlaps + 1 + 300 / 10));
      expect(commands).toBeLessThanOrEqual(bounds.maxFlaps + 1 + 300 / 10);
    }),
    { numRuns: 60 },
  );
});
