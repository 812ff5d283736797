import { fleetConfig, recorded, sampleData, startMs } from '../../libs/domain/testing/builders.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { withSettings } from './changed.ts';
import { type Recording, replayPlanned, startRecording, tooShort } from './recorded.ts';

const idle = { offWatts: 10, idleWatts: 140, busyWatts: 200, setupWatts: 200 };

function recordingOf(
  events: readonly RecordedEvent[],
  pool: string,
  fromMs: number,
  toMs: number,
): Recording {
  const recorder = startRecording(pool, fromMs, toMs);
  for (const event of events) recorder.add(event);
  return recorder.end();
}

/** `rps` from one proxy, a sample a second, and one server's meter. */
function history(seconds: number, rps: number): RecordedEvent[] {
  const events: RecordedEvent[] = [];
  for (let second = 1; second <= seconds; second += 1) {
    const data = { ...sampleData.LoadSampled, arrivals: rps, completed: rps };
    events.push(recorded({ type: 'LoadSampled', data }, startMs + second * 1_000, second));
  }
  for (let second = 0; second <= seconds; second += 10) {
    const data = { ...sampleData.PowerMetered, powerWatts: 360 };
    events.push(recorded({ type: 'PowerMetered', data }, startMs + second * 1_000, second));
  }
  events.push(recorded({ type: 'WakeRequested', data: sampleData.WakeRequested }, startMs + 5_000, 1));
  return events;
}

test('holds every request, the metered energy and the wakes of the time asked for', () => {
  const recording = recordingOf(history(100, 7), 'web', startMs, startMs + 100_000);
  expect(recording.arrivals).toHaveLength(100);
  expect([...recording.arrivals].every((count) => count === 7)).toBe(true);
  expect(recording).toMatchObject({ requests: 700, wakes: 1, failed: 0 });
  expect(recording.energyWh).toBeCloseTo(10, 6);
});

test('samples that span several seconds lose nothing by being shared out', () => {
  const data = { ...sampleData.LoadSampled, arrivals: 10, intervalMs: 3_000 };
  const events = [recorded({ type: 'LoadSampled', data }, startMs + 3_500, 1)];
  const { arrivals } = recordingOf(events, 'web', startMs, startMs + 10_000);
  expect(arrivals.reduce((sum, count) => sum + count, 0)).toBe(10);
  expect([...arrivals.slice(4)]).toEqual([0, 0, 0, 0, 0, 0]);
});

test('begins with the first load that is known: what came before is no quiet time', () => {
  const recording = recordingOf(history(100, 7), 'web', startMs - 50_000, startMs + 100_000);
  expect([recording.arrivals.length, recording.fromMs]).toEqual([100, startMs]);
});

test('a load that is known for few setup times decides nothing', () => {
  const recording = recordingOf(history(299, 7), 'web', startMs, startMs + 299_000);
  const of = (setupTimeMs: number) => {
    const energy = { ...idle, setupTimeMs };
    return tooShort(recording, fleetConfig({ servers: 2, server: { energy } }));
  };
  expect(of(29_000)).toBeUndefined();
  expect(of(30_000)).toBe(
    'the history is too short: 299 s of load of pool web are recorded in that time, and at least 300 s are needed (10 setup times of its slowest server)',
  );
  const brief = recordingOf(history(59, 7), 'web', startMs, startMs + 59_000);
  expect(tooShort(brief, fleetConfig({ server: { energy: { ...idle, setupTimeMs: 1 } } }))).toMatch('60 s');
});

test('no load recorded is an error, not a saving', () => {
  expect(() => recordingOf(history(10, 5), 'shop', startMs, startMs + 10_000)).toThrow(
    'no load of pool shop',
  );
});

test.each<[string[], object]>([
  [['minServers=2', 'planner.risk=0.01'], { minServers: 2, planner: { risk: 0.01 } }],
  [['failAwake=floor'], { failAwake: 'floor' }],
])('%j are settings of the pool', (sets, changed) => {
  const config = fleetConfig({ servers: 3 });
  expect(withSettings(config, 'web', sets)).toMatchObject({ ...config, pools: { web: changed } });
  expect(config.pools.web?.minServers).toBe(1);
});

test.each([
  [['minServers'], '--set must be a setting'],
  [['minservers=2'], '--set must be a setting'],
  [['planner.risk.x=2'], '--set must be a setting'],
  [['__proto__.polluted=1'], '--set must be a setting'],
  [['constructor.prototype.polluted=1'], '--set must be a setting'],
  [['planner.risk=2'], /planner\.risk.*0\.1.*got 2/],
])('%j are not', (sets, problem) => {
  expect(() => withSettings(fleetConfig(), 'web', sets)).toThrow(problem);
});

test('the recorded load is planned for with the servers of a configuration', () => {
  const energy = { ...idle, setupTimeMs: 10_000 };
  const recording = recordingOf(history(3_000, 30), 'web', startMs, startMs + 3_000_000);
  const small = replayPlanned(recording, fleetConfig({ servers: 4, server: { energy } }), 1);
  const large = replayPlanned(recording, fleetConfig({ servers: 8, server: { energy } }), 1);
  expect(small.requests).toBe(90_000);
  expect(small.late).toBe(0);
  // Four more that sleep nearly all the time: little more than what they draw asleep.
  expect(large.energyWh - small.energyWh).toBeGreaterThan((4 * 10 * 3_000) / 3_600 - 1);
  expect(large.energyWh - small.energyWh).toBeLessThan((4 * 60 * 3_000) / 3_600);
  expect(() => replayPlanned({ ...recording, pool: 'shop' }, fleetConfig(), 1)).toThrow('no pool shop');
});
