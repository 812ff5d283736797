import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { draftOf, fleetConfig } from '../libs/domain/testing/builders.ts';
import type { EventType, RecordedEvent } from '../libs/events/mod.ts';
import { runOnStore } from './testing/run.ts';

let store: MemoryStore;
let bus: Bus;
const nowMs = 1_900_000_000_000;
const env = { USER: 'ada' };
const nemuri = (...args: string[]) => runOnStore(store, args, { env, nowMs: () => nowMs });

beforeEach(async () => {
  store = createMemoryStore();
  bus = openMemoryBus(store, { source: 'test' });
  await bus.publish({
    type: 'FleetConfigured',
    data: { config: fleetConfig({ servers: 2, bounds: { maxActionsPerMinute: 1 } }), origin: 'test' },
  });
});
afterEach(() => bus.close());

async function last(type: EventType): Promise<RecordedEvent['data'] | undefined> {
  let data: RecordedEvent['data'] | undefined;
  for await (const event of bus.history('FLEET', 1)) if (event.type === type) data = event.data;
  return data;
}
const said = { reason: 'new fan', by: 'ada' };

test.each<[string[], EventType, object]>([
  [['cordon', 's1'], 'ServerCordoned', { server: 's1', ...said }],
  [['cordon', 's1', '--for', '2h'], 'ServerCordoned', { server: 's1', untilMs: nowMs + 7_200_000, ...said }],
  [['uncordon', 's1'], 'ServerUncordoned', { server: 's1', ...said }],
  [['wake', 's1', '--for', '2h'], 'WakeOrdered', { server: 's1', untilMs: nowMs + 7_200_000, ...said }],
  [['sleep', 's2'], 'SleepOrdered', { server: 's2', untilMs: nowMs + 3_600_000, ...said }],
  [['pin', '2'], 'TargetPinned', { pool: 'web', servers: 2, ...said }],
  [['unpin', '--pool', 'web'], 'TargetUnpinned', { pool: 'web', ...said }],
  [['pause'], 'PlannerPaused', { pool: 'web', ...said }],
  [['resume'], 'PlannerResumed', { pool: 'web', ...said }],
])('%j is the fact %s', async (args, type, data) => {
  const { code, out, err } = await nemuri(...args, '--reason', 'new fan');
  expect({ code, err, out }).toEqual({
    code: 0,
    err: [],
    out: [expect.stringMatching(`^${type} .*, as event 2$`)],
  });
  expect(await last(type)).toEqual(data);
});

test('several servers at once, by whom it says', async () => {
  expect(await nemuri('cordon', 's1', 's2', '--by', 'grace')).toMatchObject({ code: 0 });
  expect(await last('ServerCordoned')).toEqual({ server: 's2', reason: 'by hand', by: 'grace' });
});

test('a drill is asked of the one that has slept longest', async () => {
  expect(await nemuri('drill')).toMatchObject({ code: 1, err: ['nemuri: no server is asleep'] });
  for (const server of ['s2', 's1']) {
    await bus.publish(draftOf('ServerPoweredOff', { server }));
    await bus.publish(draftOf('SleepVerified', { server }));
  }
  expect(await nemuri('drill', '--server', 's1')).toMatchObject({ code: 0 });
  expect(await last('DrillRequested')).toMatchObject({ server: 's1' });
  expect(await nemuri('drill', '--reason', 'before winter')).toMatchObject({ code: 0 });
  expect(await last('DrillRequested')).toMatchObject({ reason: 'before winter', by: 'ada' });
});

test.each<[string[], string]>([
  [['cordon', 's9'], 'nemuri: there is no server s9; there are s1, s2'],
  [['pause', '--pool', 'x'], 'nemuri: there is no pool x; there are web'],
  [['drill', '--server', 's1'], 'nemuri: s1 is not asleep but waking'],
])('%j is refused in words', async (args, problem) => {
  expect(await nemuri(...args)).toEqual({ code: 1, out: [], err: [problem] });
  expect(await bus.lastSequence('FLEET')).toBe(1);
});

test('wrong usage is told', async () => {
  const { code, err } = await nemuri('wake', 's1', '--for', 'ever');
  expect([code, err.join()]).toEqual([2, expect.stringContaining('It must be such as 30s, 10m, 2h or 7d.')]);
});

test('status, explain and doctor say until when a server is cordoned', async () => {
  await bus.publish(draftOf('CapacityDecided', { target: ['s2'] }));
  await nemuri('cordon', 's1', '--for', '2h', '--reason', 'new fan');
  await nemuri('cordon', 's2', '--reason', 'broken');
  const { out } = await nemuri('status');
  const end = new Date(nowMs + 7_200_000).toISOString();
  const lines = [
    `s1: ada cordoned it until ${end} (2 h more): new fan`,
    's2: ada cordoned it until it is uncordoned: broken',
  ];
  expect(out.slice(-2)).toEqual(lines.map((line) => `  ${line}`));
  expect(out.join('\n')).toMatch(/ s1 .* cordoned, 2 h more\n.* s2 .* cordoned\n/);
  expect((await nemuri('explain')).out).toEqual(
    expect.arrayContaining(lines.map((line) => `  left out  ${line}`)),
  );
  const report = JSON.parse((await nemuri('status', '--json')).out.join(''));
  expect(report.pools[0].servers[0].cordon).toEqual({ untilMs: nowMs + 7_200_000, ...said });
});

test('status shows orders, failed drills and what is held back', async () => {
  await nemuri('wake', 's1', '--for', '2h', '--reason', 'new fan');
  await bus.publish(draftOf('ServerPoweredOff', { server: 's1' }));
  await bus.publish(draftOf('SleepVerified', { server: 's1' }));
  await bus.publish(draftOf('DrillStarted', { server: 's1' }));
  await bus.publish(draftOf('DrillFailed', { server: 's1' }));
  await bus.publish(draftOf('WakeRequested', { server: 's1' }));
  await bus.publish(draftOf('WakeAttempted', { server: 's1' }));
  await bus.publish(draftOf('WakeAttemptFailed', { server: 's1' }));
  await bus.publish(draftOf('WakeOverdue', { server: 's1' }));
  const { out } = await runOnStore(store, ['status'], { nowMs: () => Date.now() + 3_000 });
  expect(out.slice(-4)).toEqual([
    expect.stringMatching(/^ {2}s1: ada ordered it awake for \d+ \w+ more: new fan$/),
    '  s1: failed its last fire drill, not counted as capacity',
    expect.stringMatching(/^ {2}s1: held back by maxActionsPerMinute: 1 commands were sent to it/),
    '  fire drills: 0 of 1 passed (0 %)',
  ]);
  const report = JSON.parse((await runOnStore(store, ['status', '--json'])).out.join(''));
  expect(report.pools[0].servers[0]).toMatchObject({
    order: { wants: 'awake', by: 'ada' },
    failedItsDrill: true,
  });
});
