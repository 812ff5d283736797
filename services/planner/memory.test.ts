import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../../libs/bus/mod.ts';
import { type Fleet, foldInto, initialFleet } from '../../libs/domain/mod.ts';
import { draftOf, fleetConfig, recorded } from '../../libs/domain/testing/builders.ts';
import type { EventOf } from '../../libs/events/mod.ts';
import { createLogger } from '../../libs/runtime/log.ts';
import { recallLoad } from './memory.ts';

const startMs = 1_700_000_000_000;

let nowMs: number;
let store: MemoryStore;
let bus: Bus;
let fleet: Fleet;

beforeEach(() => {
  nowMs = startMs;
  store = createMemoryStore({ clock: { now: () => nowMs, after: () => () => undefined } });
  bus = openMemoryBus(store, { source: 'test' });
  fleet = initialFleet();
  foldInto(fleet, recorded(draftOf('FleetConfigured', { config: fleetConfig() })));
});
afterEach(() => bus.close());

async function serve(seconds: number, arrivals: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    nowMs += 1_000;
    await bus.publish(draftOf('LoadSampled', { arrivals }));
  }
}

/** What a planner that starts now recalls, and how many samples it had to read for that. */
async function recall() {
  let read = 0;
  const counting: Bus = Object.create(bus, {
    history: {
      async *value(...args: Parameters<Bus['history']>) {
        for await (const event of bus.history(...args)) {
          read += 1;
          yield event;
        }
      },
    },
  });
  const log = createLogger('planner', 'planner', 'silent');
  const memory = await recallLoad({ bus: counting, log, nowMs: () => nowMs, fleet: () => fleet });
  return { memory, read, level: memory.of('web').demand.levelRps };
}

test('recalls what was saved and reads only what came since', async () => {
  await serve(300, 50);
  const first = await recall();
  expect([first.read, Math.round(first.level)]).toEqual([300, 50]);
  await first.memory.save();
  await serve(20, 50);
  const second = await recall();
  expect([second.read, Math.round(second.level)]).toEqual([20, 50]);
  expect(second.memory.lastSequence).toBe(320);
});

test('learns anew from the last day when what was saved is of another version, or the stream was made anew', async () => {
  await serve(100, 50);
  await bus.saveSnapshot('planner.load.web', { schemaVersion: 0, sequence: 90, state: {} });
  expect((await recall()).read).toBe(100);
  await (await recall()).memory.save();
  const { snapshots } = store;
  store = createMemoryStore({ clock: { now: () => nowMs, after: () => () => undefined } });
  for (const [key, text] of snapshots) store.snapshots.set(key, text);
  bus = openMemoryBus(store, { source: 'test' });
  await serve(30, 50);
  expect((await recall()).read).toBe(30);
  nowMs += 86_400_000;
  await serve(5, 50);
  expect((await recall()).read).toBe(5);
});

test('takes each sample in once, however often it comes', async () => {
  await serve(60, 50);
  const { memory } = await recall();
  const before = memory.of('web').demand.demand(nowMs, {
    horizonMs: 60_000,
    sampleIntervalMs: 1_000,
    burstWindowMs: 6_000,
    risk: 0.001,
    dayMs: 86_400_000,
    proxyLeaseMs: 10_000,
    proxyGoneMs: 120_000,
  });
  for await (const event of bus.history('TELEMETRY', 1)) {
    if (event.type === 'LoadSampled') memory.observe(event);
  }
  expect(before.nowRps).toBeCloseTo(50, 0);
  expect(memory.of('web').sequence).toBe(60);
});

test('on a stream that was made anew the first samples count', async () => {
  await serve(60, 50);
  const { memory } = await recall();
  let first: EventOf<'LoadSampled'> | undefined;
  for await (const event of bus.history('TELEMETRY', 1)) if (event.type === 'LoadSampled') first ??= event;
  if (!first) throw new Error('no sample');
  memory.startOver();
  memory.observe({ ...first, sequence: 1, timeMs: nowMs });
  expect(memory.of('web').sequence).toBe(1);
});
