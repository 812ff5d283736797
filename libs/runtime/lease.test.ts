import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../bus/mod.ts';
import { until } from '../bus/testing/until.ts';
import { type EventOf, leaseSubject } from '../events/mod.ts';
import { systemChance, systemClock } from './clock.ts';
import { type Lease, LeaseLostError, openLease } from './lease.ts';
import { createLogger } from './log.ts';

// Long beside the pauses of a busy machine.
const leaseMs = 1_500;

let store: MemoryStore;
const buses: Bus[] = [];
const leases: Lease[] = [];

beforeEach(() => {
  store = createMemoryStore();
});
afterEach(async () => {
  await Promise.all(leases.splice(0).map((lease) => lease.stop()));
  await Promise.all(buses.splice(0).map((bus) => bus.close()));
});

interface Clock {
  /** How far its clocks have gone ahead of the real ones: a process that was stopped for so long. */
  aheadMs: number;
  wallOnly: boolean;
}

async function replica(name: string, clock: Clock = { aheadMs: 0, wallOnly: false }): Promise<Lease> {
  const bus = openMemoryBus(store, { source: name });
  buses.push(bus);
  const lease = await openLease({
    bus,
    log: createLogger('power', name, 'silent'),
    settings: {
      service: 'power',
      name,
      natsUrls: [],
      adminHost: '',
      adminPort: 0,
      logLevel: 'silent',
      stopTimeoutMs: 1,
    },
    nowMs: () => Date.now() + clock.aheadMs,
    clock: { ...systemClock, monotonicMs: () => performance.now() + (clock.wallOnly ? 0 : clock.aheadMs) },
    chance: systemChance,
    leaseMs: () => leaseMs,
  });
  leases.push(lease);
  return lease;
}

async function words(): Promise<EventOf<'LeaseHeld'>['data'][]> {
  const bus = openMemoryBus(store, { source: 'reader' });
  buses.push(bus);
  const said: EventOf<'LeaseHeld'>['data'][] = [];
  for await (const event of bus.history('TELEMETRY', 1, leaseSubject('power')))
    if (event.type === 'LeaseHeld') said.push(event.data);
  return said;
}

test('one leads, and goes on leading; the other waits', async () => {
  const first = await replica('power-1');
  const second = await replica('power-2');
  await until(async () => {
    expect([first.isHeld, second.isHeld]).toEqual([true, false]);
    return (await words()).length > 6;
  });
  expect(new Set((await words()).map(({ term }) => term))).toEqual(new Set([1]));
});

test('a leader that is silent is replaced within a lease and a quarter, and knows it itself first', async () => {
  const first = await replica('power-1');
  const second = await replica('power-2');
  let gainedMs = 0;
  second.onGained(() => {
    gainedMs = performance.now();
  });
  store.setReachable(false, 'power-1');
  const lostMs = performance.now();
  await until(() => {
    expect(first.isHeld && second.isHeld).toBe(false);
    return second.isHeld;
  });
  expect(gainedMs - lostMs).toBeGreaterThan(leaseMs * 0.5);
  expect(gainedMs - lostMs).toBeLessThan(leaseMs * 1.25 + 500);
  store.setReachable(true, 'power-1');
  await until(async () => (await words()).filter(({ term }) => term === 2).length > 4);
  expect([first.isHeld, second.isHeld]).toEqual([false, true]);
});

test.each([false, true])(
  'a leader that was stopped for a minute knows at once that it leads no more (wall clock only: %s)',
  async (wallOnly) => {
    const clock: Clock = { aheadMs: 0, wallOnly };
    const lease = await replica('power-1', clock);
    const { signal, release } = lease.guard(new AbortController().signal);
    signal.throwIfAborted();
    // No timer and no event has run since: the look itself must tell.
    clock.aheadMs = 60_000;
    expect(() => signal.throwIfAborted()).toThrow(LeaseLostError);
    expect([lease.isHeld, signal.aborted]).toEqual([false, true]);
    release();
  },
);

test('one that stops hands over at once, and its guards end', async () => {
  const first = await replica('power-1');
  const second = await replica('power-2');
  const stoppedMs = performance.now();
  await first.stop();
  await until(() => second.isHeld);
  expect(performance.now() - stoppedMs).toBeLessThan(leaseMs / 2);
  expect((await words()).filter(({ released }) => released)).toHaveLength(1);
});

test('one that comes back under its own name leads at once; the one it replaces does not take it back', async () => {
  const old = await replica('power-1');
  const young = await replica('power-1');
  expect(young.isHeld).toBe(true);
  await until(() => !old.isHeld);
  const before = (await words()).length;
  await until(async () => (await words()).length > before + 8);
  expect([old.isHeld, young.isHeld]).toEqual([false, true]);
});

test('a guard ends with the signal it guards', async () => {
  const lease = await replica('power-1');
  const outer = new AbortController();
  const { signal, release } = lease.guard(outer.signal);
  outer.abort(new Error('the end'));
  expect(() => signal.throwIfAborted()).toThrow('the end');
  release();
});

test('a guard asks for objections when the command is about to be sent, and not before', async () => {
  const lease = await replica('power-1');
  let objection: Error | undefined;
  const { signal, release } = lease.guard(new AbortController().signal, () => objection);
  signal.throwIfAborted();
  objection = new Error('wanted awake again');
  expect(signal.aborted).toBe(false);
  expect(() => signal.throwIfAborted()).toThrow('wanted awake again');
  expect(signal.aborted).toBe(true);
  release();
});
