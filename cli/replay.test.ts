import { createMemoryStore, type MemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { draftOf, fleetConfig } from '../libs/domain/testing/builders.ts';
import type { EventDraft } from '../libs/events/mod.ts';
import { runOnStore } from './testing/run.ts';

const startMs = Date.parse('2026-03-01T06:00:00Z');
const minuteMs = 60_000;

let nowMs: number;
let store: MemoryStore;

/** A server is cordoned at one minute, a decision made at two, the cordon taken off at three. */
beforeEach(async () => {
  nowMs = startMs;
  store = createMemoryStore({ clock: { now: () => nowMs, after: () => () => undefined } });
  const bus = openMemoryBus(store, { source: 'test' });
  const facts: EventDraft[] = [
    draftOf('FleetConfigured', { config: fleetConfig() }),
    draftOf('ServerCordoned'),
    draftOf('CapacityDecided', { target: ['s1', 's2'] }),
    draftOf('ServerUncordoned', { server: 's1' }),
    draftOf('ServerCordoned', { server: 's2' }),
  ];
  for (const fact of facts) {
    await bus.publish(fact);
    await bus.publish(draftOf('LoadSampled'));
    nowMs += minuteMs;
  }
  await bus.close();
});

const nemuri = (...args: string[]) => runOnStore(store, args, { nowMs: () => nowMs });
const at = (minutes: number) => new Date(startMs + minutes * minuteMs).toISOString();

describe('replay', () => {
  const cordonedAt = async (...args: string[]) => {
    const { code, out, err } = await nemuri('replay', '--json', '--at', ...args);
    expect([code, err, out.length]).toEqual([0, [], 1]);
    const { sequence, time, pools } = JSON.parse(out[0] ?? '');
    const servers: { name: string; cordoned: boolean }[] = pools[0]?.servers ?? [];
    return { sequence, time, cordoned: servers.filter((one) => one.cordoned).map(({ name }) => name) };
  };

  test('folds up to a sequence', async () => {
    expect(await cordonedAt('1')).toEqual({ sequence: 1, time: at(0), cordoned: [] });
    expect(await cordonedAt('2')).toEqual({ sequence: 2, time: at(1), cordoned: ['s1'] });
    expect(await cordonedAt('99')).toEqual({ sequence: 5, time: at(4), cordoned: ['s2'] });
  });

  test('folds up to a time, and what was stored at it is in', async () => {
    expect(await cordonedAt(at(1))).toEqual({ sequence: 2, time: at(1), cordoned: ['s1'] });
    expect(await cordonedAt(at(2.5))).toEqual({ sequence: 3, time: at(2.5), cordoned: ['s1'] });
    expect(await cordonedAt('-90s')).toEqual({ sequence: 4, time: at(3.5), cordoned: [] });
    expect(await cordonedAt('90s')).toEqual({ sequence: 4, time: at(3.5), cordoned: [] });
  });

  test('shows the decision as old as it was then, not as it is now', async () => {
    const { out } = await nemuri('replay', '--at', at(2));
    expect(out.slice(0, 3)).toEqual([
      `The fleet at ${at(2)}, after event 3 of the history`,
      'pool web: 3 waking; floor 1; 0 of 300 requests/s ready',
      '  decided 0 s ago: test',
    ]);
  });

  test('knows a time before the first event', async () => {
    const { code, out } = await nemuri('replay', '--at', at(-1));
    expect([code, out]).toEqual([
      0,
      [`The fleet at ${at(-1)}, after event 0 of the history`, 'It had no configuration yet.'],
    ]);
  });
});

describe('events', () => {
  const found = async (...args: string[]) => {
    const { code, out, err } = await nemuri('events', '--json', ...args);
    expect([code, err]).toEqual([0, []]);
    return out.map((line) => JSON.parse(line)).map(({ type, sequence }) => `${type} ${sequence}`);
  };

  test('from a time until a time, both included, and ends there', async () => {
    expect(await found('--since', at(1), '--until', at(3))).toEqual([
      'ServerCordoned 2',
      'CapacityDecided 3',
      'ServerUncordoned 4',
    ]);
    expect(await found('--until', '-4m')).toEqual(['FleetConfigured 1', 'ServerCordoned 2']);
  });

  test.each([
    [['type=ServerCordoned'], ['ServerCordoned 2', 'ServerCordoned 5']],
    [['ServerCordoned'], ['ServerCordoned 2', 'ServerCordoned 5']],
    [['type=ServerCordoned', 'server=s2'], ['ServerCordoned 5']],
    [['pool=web'], ['CapacityDecided 3']],
    [['inputs.floor=1'], ['CapacityDecided 3']],
    [
      ['nemuri.operator.>', 'server=s1'],
      ['ServerCordoned 2', 'ServerUncordoned 4'],
    ],
    [['LoadSampled', 'proxy=p2'], []],
  ])('--filter %j', async (filters, expected) => {
    const args = filters.flatMap((filter) => ['--filter', filter]);
    expect(await found('--until', '0s', ...args)).toEqual(expected);
    expect(await found('--until', 'now', ...args)).toEqual(expected);
  });

  test('of both streams in the order in which they were stored', async () => {
    expect(await found('--since', at(3), '--until', at(3), '--filter', '>')).toEqual([
      'ServerUncordoned 4',
      'LoadSampled 4',
    ]);
  });
});
