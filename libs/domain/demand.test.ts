import fc from 'fast-check';
import {
  demandOf,
  emptyLoadHistory,
  forgetProxies,
  type LoadHistory,
  type LoadSample,
  observeLoad,
  rateBetween,
} from './demand.ts';
import { startMs } from './testing/builders.ts';

const burstMs = 6_000;
const leaseMs = 10_000;
/** What the samples say at this time. */
const demandAt = (history: LoadHistory, nowMs: number) => demandOf(history, burstMs, leaseMs, nowMs);
const windowMs = 300_000;

function sample(timeMs: number, change: Partial<LoadSample> = {}): LoadSample {
  const idle = { proxy: 'p1', intervalMs: 1_000, arrivals: 0, inFlight: 0, parked: 0, stopping: false };
  return { ...idle, timeMs, ...change };
}
function observe(samples: readonly LoadSample[], from: LoadHistory = emptyLoadHistory): LoadHistory {
  return samples.reduce((history, next) => observeLoad(history, next, windowMs), from);
}
/** A sample a second from `startMs` on, each with what `arrivals` says for its second. */
function stream(seconds: number, arrivals: (second: number) => number, change: Partial<LoadSample> = {}) {
  return Array.from({ length: seconds }, (_, index) =>
    sample(startMs + (index + 1) * 1_000, { arrivals: arrivals(index), ...change }),
  );
}
const afterSeconds = (seconds: number) => startMs + seconds * 1_000;

describe('the rate', () => {
  test('of a steady load is that load', () => {
    const history = observe(stream(120, () => 50));
    expect(demandAt(history, afterSeconds(120))).toEqual({
      nowRps: 50,
      parked: 0,
      inFlight: 0,
      liveProxies: 1,
      missingProxies: 0,
      observedForMs: 120_000,
    });
    expect(rateBetween(history, afterSeconds(10), afterSeconds(100), afterSeconds(120))).toBe(50);
  });

  test('adds up over proxies, with what is parked and in flight now', () => {
    const one = stream(60, () => 50, { parked: 2, inFlight: 3 });
    const two = stream(60, () => 30, { proxy: 'p2', parked: 5, inFlight: 7 });
    const demand = demandAt(observe([...one, ...two]), afterSeconds(60));
    expect(demand).toMatchObject({ nowRps: 80, parked: 7, inFlight: 10, liveProxies: 2 });
  });

  test('a burst is seen at once', () => {
    const samples = stream(106, (second) => (second >= 100 ? 600 : 10));
    expect(demandAt(observe(samples), afterSeconds(106)).nowRps).toBe(600);
  });

  test('of no samples is nothing', () => {
    expect(demandAt(emptyLoadHistory, startMs)).toMatchObject({
      nowRps: 0,
      liveProxies: 0,
      observedForMs: 0,
    });
  });
});

describe('proxies that are not as they should be', () => {
  test('a silent one counts with its last known load, as missing', () => {
    const history = observe(stream(120, () => 50, { parked: 4 }));
    const demand = demandAt(history, afterSeconds(200));
    expect(demand).toMatchObject({
      nowRps: 50,
      liveProxies: 0,
      missingProxies: 1,
      parked: 0,
    });
  });

  test('a silent one is forgotten when it is given up, and one that said good-bye at once', () => {
    const good = stream(10, () => 50);
    const bye = [...good, sample(afterSeconds(11), { stopping: true })];
    const proxiesAt = (samples: LoadSample[], nowMs: number) =>
      Object.keys(forgetProxies(observe(samples), nowMs, 120_000).byProxy);
    expect(proxiesAt(good, afterSeconds(130))).toEqual(['p1']);
    expect(proxiesAt(good, afterSeconds(131))).toEqual([]);
    expect(proxiesAt(bye, afterSeconds(12))).toEqual(['p1']);
    expect(proxiesAt(bye, afterSeconds(12) + 1)).toEqual([]);
  });

  test('a restarted one goes on where it was', () => {
    const before = stream(60, () => 50);
    const after = stream(120, () => 50).slice(65);
    const demand = demandAt(observe([...before, ...after]), afterSeconds(120));
    expect(demand).toMatchObject({ nowRps: 50, liveProxies: 1, missingProxies: 0, observedForMs: 120_000 });
  });

  test.each([-5_000, 5_000, 600_000])('a clock off by %d ms changes no rate', (skewMs) => {
    const skewed = stream(120, () => 50).map((one) => ({ ...one, timeMs: one.timeMs + skewMs }));
    expect(demandAt(observe(skewed), afterSeconds(120)).nowRps).toBeCloseTo(50, 6);
  });

  test('a second proxy with a slow clock does not lengthen what is known', () => {
    const history = observe([...stream(10, () => 50), sample(startMs - 600_000, { proxy: 'p2' })]);
    expect(demandAt(history, afterSeconds(10)).observedForMs).toBe(10_000);
  });

  test('a clock that is set back is followed, and nothing is counted twice', () => {
    const ahead = stream(120, () => 50).map((one) => ({ ...one, timeMs: one.timeMs + 3_600_000 }));
    const corrected = stream(240, () => 80).slice(120);
    const history = observe([...ahead, ...corrected]);
    expect(demandAt(history, afterSeconds(240)).nowRps).toBe(80);
    expect(history.latestMs).toBe(afterSeconds(240));
  });
});

describe('samples that are not as they should be', () => {
  const history = observe(stream(30, () => 50));

  test.each<[string, Partial<LoadSample>]>([
    ['not a number', { arrivals: Number.NaN }],
    ['negative', { arrivals: -1 }],
    ['endless', { arrivals: Number.POSITIVE_INFINITY }],
    ['beyond all counting', { arrivals: 1e300 }],
    ['of no length', { intervalMs: 0 }],
    ['of hardly any length', { intervalMs: 1e-9 }],
    ['of negative length', { intervalMs: -1_000 }],
    ['at no time', { timeMs: Number.NaN }],
    ['with nonsense in flight', { inFlight: -3 }],
    ['with nonsense parked', { parked: Number.NaN }],
  ])('%s is left out', (_what, change) => {
    expect(observeLoad(history, sample(afterSeconds(31), change), windowMs)).toBe(history);
  });

  test('repeated or out of order is left out', () => {
    expect(observeLoad(history, sample(afterSeconds(30)), windowMs)).toBe(history);
    expect(observeLoad(history, sample(afterSeconds(28)), windowMs)).toBe(history);
  });

  test('a proxy may be called constructor', () => {
    const odd = observe(
      stream(10, () => 50, { proxy: 'constructor' }),
      history,
    );
    expect(Object.keys(odd.byProxy)).toEqual(['p1', 'constructor']);
  });

  test('after a gap the load is known anew', () => {
    const afterGap = observe(stream(60, () => 50).slice(47), history);
    expect(afterGap.sinceMs).toBe(afterSeconds(47));
    const noGap = observe(stream(60, () => 50).slice(45), history);
    expect(noGap.sinceMs).toBe(startMs);
  });

  test('the history is bounded by its window', () => {
    expect(observe(stream(400, () => 1)).byProxy.p1).toHaveLength(300);
    const endless = Array.from({ length: 20_010 }, (_, index) =>
      sample(startMs + index * 10, { intervalMs: 10 }),
    );
    const kept = endless.reduce((all, next) => observeLoad(all, next, 1e9), emptyLoadHistory).byProxy.p1;
    expect(kept).toHaveLength(20_000);
    expect(kept?.at(-1)).toBe(endless.at(-1));
  });
});

describe('properties', () => {
  const number = fc.oneof(fc.nat(10_000), fc.constantFrom(Number.NaN, -1, 1e300, Number.MAX_SAFE_INTEGER, 0));
  const any = fc.record({
    proxy: fc.constantFrom('p1', 'p2', 'p3'),
    timeMs: fc.oneof(fc.integer({ min: startMs - 100_000, max: startMs + 100_000 }), number),
    intervalMs: fc.oneof(fc.integer({ min: 1, max: 5_000 }), number),
    arrivals: number,
    inFlight: number,
    parked: number,
    stopping: fc.boolean(),
  });

  test('whatever comes in, the demand is finite and not negative', () => {
    fc.assert(
      fc.property(
        fc.array(any, { maxLength: 30 }),
        fc.integer({ min: -50_000, max: 500_000 }),
        (samples, afterMs) => {
          const demand = demandAt(observe(samples), startMs + afterMs);
          for (const [name, value] of Object.entries(demand)) {
            expect([name, Number.isFinite(value) && value >= 0]).toEqual([name, true]);
          }
        },
      ),
    );
  });

  test('no request is lost or invented', () => {
    const arrivals = fc.array(fc.nat(1_000), { minLength: 60, maxLength: 60 });
    fc.assert(
      fc.property(arrivals, (counts) => {
        const history = observe(stream(60, (second) => counts[second] ?? 0));
        const rps = rateBetween(history, startMs, afterSeconds(60), afterSeconds(60));
        expect(rps * 60).toBeCloseTo(
          counts.reduce((sum, count) => sum + count, 0),
          6,
        );
      }),
    );
  });
});
