import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../bus/mod.ts';
import { draftOf, fleetConfig } from '../domain/testing/builders.ts';
import { type Checkpoint, listCheckpoints, saveCheckpoint, thinned } from './checkpoints.ts';
import { openFleetView } from './fleetView.ts';
import { fleetAt } from './history.ts';

const limits = { everyEvents: 10, most: 4 };
const config = fleetConfig();
const dense = { ...config, history: { ...config.history, checkpointEvents: 10, maxCheckpoints: 4 } };

let store: MemoryStore;
let bus: Bus;

beforeEach(() => {
  store = createMemoryStore({ maxEvents: { FLEET: 30 } });
  bus = openMemoryBus(store, { source: 'test' });
});
afterEach(() => bus.close());

/** A service that keeps checkpoints while so many events are published. */
async function follow(events: number, expected: readonly string[] = []): Promise<void> {
  const problems: string[] = [];
  const onProblem = (problem: string) => problems.push(problem);
  const view = await openFleetView({
    bus,
    name: 'planner',
    keepsCheckpoints: true,
    snapshotEvery: 7,
    onProblem,
  });
  for (let index = 1; index <= events; index += 1) {
    const draft = index % 2 === 0 ? draftOf('ServerCordoned') : draftOf('ServerUncordoned');
    await view.record(index === 1 ? draftOf('FleetConfigured', { config: dense }) : draft);
  }
  await view.close();
  expect(problems).toEqual(expected);
}

const sequences = async () => (await listCheckpoints(bus)).map(({ sequence }) => sequence);

test('a state is kept every so many events, at most so many of them, each in a slot of its own', async () => {
  await follow(45);
  expect(await sequences()).toEqual([10, 20, 30, 40]);
  await follow(40);
  const kept = await listCheckpoints(bus);
  expect(kept).toHaveLength(limits.most);
  expect([kept[0]?.sequence, kept.at(-1)?.sequence]).toEqual([10, 80]);
  expect(new Set(kept.map(({ slot }) => slot)).size).toBe(limits.most);
});

test('a time whose events are no longer kept is what the last checkpoint before it says', async () => {
  await follow(75);
  expect(await bus.firstSequence('FLEET')).toBeGreaterThan(40);
  const then = await fleetAt(bus, { sequence: 24 }, { snapshots: [] });
  expect(then.sequence).toBe(10);
  expect(then.fleet.config).toEqual(dense);
  expect(then.gap).toContain('events 11 to 24 are no longer kept');
  const whole = await fleetAt(bus, { sequence: 74 }, { snapshots: [] });
  expect([whole.sequence, whole.gap, whole.fleet.servers.s1?.cordoned]).toEqual([74, undefined, true]);
});

test('a second replica keeps none beside the first, and those of a stream made anew are forgotten', async () => {
  await follow(45);
  const { fleet } = await fleetAt(bus, { sequence: 44 });
  await saveCheckpoint(bus, fleet, 1, limits);
  expect(await sequences()).toEqual([10, 20, 30, 40]);
  const { snapshots } = store;
  store = createMemoryStore({ clock: { now: () => 1, after: () => () => undefined } });
  for (const [key, text] of snapshots) store.snapshots.set(key, text);
  bus = openMemoryBus(store, { source: 'test' });
  await follow(11, ['the snapshot is of another history, or of more than is left: all is read again']);
  expect(await sequences()).toEqual([10]);
});

test('a fact is stored although the last one on its subject is no longer kept', async () => {
  const view = await openFleetView({ bus, name: 'power', onProblem: () => undefined });
  await view.record(draftOf('FleetConfigured', { config: dense }));
  await view.record(draftOf('ServerPoweredOff'));
  for (let index = 0; index < 40; index += 1) await view.record(draftOf('ServerBecameHealthy'));
  expect(view.fleet.lastSequences['nemuri.state.s1.power']).toBeLessThan(await bus.firstSequence('FLEET'));
  expect(await view.record(draftOf('ServerPoweredOn'))).toBe(true);
  await view.close();
});

test('the first and the last stay, the others stay apart', () => {
  const at = (sequence: number): Checkpoint => ({ sequence, storedMs: 0, slot: sequence });
  const left = (most: number, ...all: number[]) => thinned(all.map(at), most).map(({ sequence }) => sequence);
  expect(left(3, 1, 2, 3, 100)).toEqual([1, 3, 100]);
  expect(left(5, 1, 2, 3)).toEqual([1, 2, 3]);
  expect(left(1, 1, 2, 3)).toEqual([1]);
});
