import type { RecordedEvent } from '../events/mod.ts';
import { type Bus, BusClosedError, BusTimeoutError } from './bus.ts';
import { type BusClock, createMemoryBus, createMemoryStore, openMemoryBus } from './memory.ts';
import { matchesSubject } from './memoryStore.ts';
import { cordoned, cordonMany, metered } from './testing/samples.ts';

/** A clock that stands until it is told to go on. */
function createClock(): BusClock & { advance(byMs: number): void } {
  let nowMs = 1_000;
  const timers = new Set<{ dueMs: number; callback: () => void }>();
  return {
    now: () => nowMs,
    after(delayMs, callback) {
      const timer = { dueMs: nowMs + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(byMs) {
      nowMs += byMs;
      for (const timer of [...timers].filter(({ dueMs }) => dueMs <= nowMs)) {
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

async function collect(bus: Bus): Promise<number[]> {
  const sequences: number[] = [];
  const onEvent = ({ sequence }: RecordedEvent) => sequences.push(sequence);
  await bus.subscribe({ stream: 'FLEET', startAt: 'beginning', onEvent });
  return sequences;
}

describe('the in-memory bus', () => {
  it('takes its time from the clock', async () => {
    const clock = createClock();
    const bus = createMemoryBus({ clock });
    clock.advance(234);
    await bus.publish(cordoned('s1'));
    for await (const event of bus.history('FLEET', 1)) expect(event.timeMs).toBe(1_234);
    expect(await bus.lastSequence('FLEET')).toBe(1);
  });

  it('goes away and returns: publishes wait, subscriptions catch up', async () => {
    const clock = createClock();
    const store = createMemoryStore({ clock });
    const [a, b] = [openMemoryBus(store, { source: 'a' }), openMemoryBus(store, { source: 'b' })];
    const seen = await collect(b);
    store.setReachable(false);
    clock.advance(10);
    store.setReachable(false);
    expect([a.lostSinceMs, b.lostSinceMs]).toEqual([1_000, 1_000]);
    const patient = a.publish(cordoned('s1'));
    const hurried = a.publish(cordoned('s2'), { timeoutMs: 500 });
    clock.advance(500);
    await expect(hurried).rejects.toThrow(BusTimeoutError);
    expect(store.lastSequence('FLEET')).toBe(0);
    store.setReachable(true);
    expect((await patient).sequence).toBe(1);
    expect(a.lostSinceMs).toBeUndefined();
    await settled();
    expect(seen).toEqual([1]);
  });

  it('can be away for one handle only', async () => {
    const store = createMemoryStore();
    const [a, b] = [openMemoryBus(store, { source: 'a' }), openMemoryBus(store, { source: 'b' })];
    const seen = await collect(b);
    store.setReachable(false, 'b');
    await cordonMany(a, 2);
    await settled();
    expect(seen).toEqual([]);
    expect(a.lostSinceMs).toBeUndefined();
    expect(b.lostSinceMs).toBeDefined();
    store.setReachable(true, 'b');
    await settled();
    expect(seen).toEqual([1, 2]);
  });

  it('ends what waits for it when it is closed', async () => {
    const clock = createClock();
    const store = createMemoryStore({ clock });
    const bus = openMemoryBus(store, { source: 'a' });
    store.setReachable(false);
    const waiting = bus.publish(cordoned('s1'));
    const closing = bus.close(100);
    await settled();
    clock.advance(100);
    await expect(waiting).rejects.toThrow(BusClosedError);
    await closing;
  });

  it('delivers again later and later what is rejected', async () => {
    const clock = createClock();
    const bus = createMemoryBus({ clock });
    const triesMs: number[] = [];
    const onEvent = async () => {
      triesMs.push(clock.now());
      throw new Error('never');
    };
    await bus.subscribeDurable({ stream: 'FLEET', name: 'd', startAt: 'beginning', onEvent });
    await bus.publish(cordoned('s1'));
    for (let step = 0; step < 80; step += 1) {
      await settled();
      clock.advance(50);
    }
    expect(triesMs).toEqual([1_000, 1_250, 1_750, 2_750, 4_750]);
    await bus.close();
  });

  it('forgets what is too old and what is too much', async () => {
    const clock = createClock();
    const store = createMemoryStore({ clock, maxAgeMs: { TELEMETRY: 100 }, maxEvents: { FLEET: 3 } });
    const bus = openMemoryBus(store, { source: 'a' });
    await bus.publish(metered('s1', 1));
    clock.advance(101);
    await bus.publish(metered('s1', 2));
    expect([store.firstSequence('TELEMETRY'), store.lastSequence('TELEMETRY')]).toEqual([2, 2]);
    await cordonMany(bus, 5_000);
    expect([store.firstSequence('FLEET'), store.lastSequence('FLEET')]).toEqual([4_998, 5_000]);
    const seen = await collect(bus);
    await settled();
    expect(seen).toEqual([4_998, 4_999, 5_000]);
  });

  it('hands out events that nobody can change for the others', async () => {
    const bus = createMemoryBus();
    await bus.publish(cordoned('s1'));
    for await (const event of bus.history('FLEET', 1)) {
      expect(() => Object.assign(event.data, { reason: 'changed' })).toThrow(TypeError);
    }
    expect(await bus.lastSequence('FLEET')).toBe(1);
  });
});

describe('matchesSubject', () => {
  it.each([
    [undefined, 'a.b', true],
    ['a.b', 'a.b', true],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['*.b', 'a.b', true],
    ['a.b.c', 'a.b', false],
    ['a', 'a.b', false],
  ])('%s on %s: %s', (filter, subject, expected) => {
    expect(matchesSubject(filter, subject)).toBe(expected);
  });
});
