import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../bus/mod.ts';
import { type Fleet, fleetSchemaVersion, foldInto, initialFleet } from '../domain/mod.ts';
import { draftOf, fleetConfig } from '../domain/testing/builders.ts';
import { fleetAt, openHistory } from './history.ts';

const startMs = 1_700_000_000_000;
const secondMs = 1_000;
const events = 60;

let nowMs: number;
let store: MemoryStore;
let bus: Bus;

/** One event a second: a configuration, then a server that is cordoned and uncordoned in turns. */
async function fill(options: { maxEvents?: number } = {}): Promise<void> {
  nowMs = startMs;
  const { maxEvents } = options;
  store = createMemoryStore({
    clock: { now: () => nowMs, after: () => () => undefined },
    ...(maxEvents === undefined ? {} : { maxEvents: { FLEET: maxEvents } }),
  });
  bus = openMemoryBus(store, { source: 'test' });
  for (let sequence = 1; sequence <= events; sequence += 1) {
    nowMs = startMs + sequence * secondMs;
    const turn = sequence % 2 === 0 ? 'ServerCordoned' : 'ServerUncordoned';
    await bus.publish(sequence === 1 ? draftOf('FleetConfigured', { config: fleetConfig() }) : draftOf(turn));
  }
}

afterEach(() => bus.close());

async function foldedTo(sequence: number): Promise<Fleet> {
  const fleet = initialFleet();
  for await (const event of bus.history('FLEET', 1)) if (event.sequence <= sequence) foldInto(fleet, event);
  return fleet;
}

/** How many events a bus hands out. */
function counting(inner: Bus): { bus: Bus; read: () => number } {
  let read = 0;
  const counted: Bus = Object.create(inner, {
    history: {
      async *value(...args: Parameters<Bus['history']>) {
        for await (const event of inner.history(...args)) {
          read += 1;
          yield event;
        }
      },
    },
  });
  return { bus: counted, read: () => read };
}

test('is the fold up to the moment, whichever way it is reached', async () => {
  await fill();
  const history = openHistory(bus, { keepEvery: 7, maxKept: 3 });
  for (const sequence of [60, 1, 30, 31, 29, 0, 8, 60, 59]) {
    const then = await history.fleetAt({ sequence });
    expect(then).toEqual({
      fleet: await foldedTo(sequence),
      sequence,
      timeMs: sequence === 0 ? 0 : startMs + sequence * secondMs,
    });
    const timeMs = startMs + sequence * secondMs + 999;
    expect(await history.fleetAt({ timeMs })).toEqual({ ...then, timeMs });
  }
  expect((await fleetAt(bus, { sequence: 1_000 })).sequence).toBe(events);
  expect((await fleetAt(bus, { timeMs: startMs - 1 })).sequence).toBe(0);
  await expect(fleetAt(bus, { timeMs: Number.NaN })).rejects.toThrow(RangeError);
});

test('a second look near the first reads little', async () => {
  await fill();
  const counted = counting(bus);
  const history = openHistory(counted.bus, { keepEvery: 10 });
  await history.fleetAt({ sequence: 60 });
  const before = counted.read();
  const slide = Array.from({ length: 50 }, (_, index) => 10 + index);
  await Promise.all(slide.map((sequence) => history.fleetAt({ sequence })));
  // At most the event wanted and the one after it for each step.
  expect(counted.read() - before).toBeLessThanOrEqual(2 * slide.length);
});

test('begins at the nearest snapshot before the moment, and never at one of another version', async () => {
  await fill();
  const state = await foldedTo(40);
  await bus.saveSnapshot('planner', { schemaVersion: fleetSchemaVersion, sequence: 40, state });
  await bus.saveSnapshot('power', { schemaVersion: fleetSchemaVersion + 1, sequence: 44, state: {} });
  const counted = counting(bus);
  expect((await fleetAt(counted.bus, { sequence: 45 })).fleet).toEqual(await foldedTo(45));
  expect(counted.read()).toBe(6);
  expect((await fleetAt(bus, { sequence: 39 })).fleet).toEqual(await foldedTo(39));
  expect(await fleetAt(bus, { sequence: 40 })).toMatchObject({ timeMs: startMs + 40 * secondMs });
});

describe('when the beginning is no longer kept', () => {
  test('it says what is missing', async () => {
    await fill({ maxEvents: 20 });
    const then = await fleetAt(bus, { sequence: 50 });
    expect(then.fleet.config).toBeUndefined();
    expect(then.gap).toBe(
      'events 1 to 40 are no longer kept and missing here: the history begins at event 41, and no snapshot reaches as far back',
    );
    expect(await fleetAt(bus, { sequence: 7 })).toMatchObject({
      sequence: 0,
      gap: expect.stringContaining('events 1 to 7 are no longer kept'),
    });
  });

  test('a snapshot bridges it', async () => {
    await fill({ maxEvents: 20 });
    const full = store;
    await fill();
    const state = await foldedTo(40);
    const early = await foldedTo(10);
    store = full;
    bus = openMemoryBus(full, { source: 'test' });
    await bus.saveSnapshot('planner', { schemaVersion: fleetSchemaVersion, sequence: 40, state });
    await bus.saveSnapshot('cli', { schemaVersion: fleetSchemaVersion, sequence: 10, state: early });
    const then = await fleetAt(bus, { sequence: 50 });
    expect(then.gap).toBeUndefined();
    expect(then.fleet.config).toEqual(fleetConfig());
    const forgotten = await fleetAt(bus, { sequence: 12 });
    expect(forgotten).toMatchObject({ sequence: 10, fleet: early });
    expect(forgotten.gap).toContain('events 11 to 12 are no longer kept');
  });
});
