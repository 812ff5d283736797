import { censusOf, healthSeen, nobodySeen, proxySeen, witness } from './liveness.ts';
import { eventOf, startMs } from './testing/builders.ts';

describe('liveness', () => {
  test.each<[string, number, boolean, 'live' | 'missing' | 'gone']>([
    ['just heard', 0, false, 'live'],
    ['heard a lease ago', 10, false, 'live'],
    ['silent past the lease', 11, false, 'missing'],
    ['silent till given up', 100, false, 'missing'],
    ['given up', 101, false, 'gone'],
    ['said good-bye', 0, true, 'gone'],
    ['with a clock that is ahead', -50, false, 'live'],
  ])('a proxy %s', (_what, silentMs, stopped, expected) => {
    const { live, missing } = censusOf(
      proxySeen(nobodySeen, 'p1', 1_000 - silentMs, stopped),
      10,
      100,
      1_000,
    );
    expect({ live, missing }).toEqual({
      live: expected === 'live' ? ['p1'] : [],
      missing: expected === 'missing' ? ['p1'] : [],
    });
  });

  test('an older or repeated sign of life changes nothing', () => {
    const seen = proxySeen(nobodySeen, 'p1', 1_000, false);
    expect(proxySeen(seen, 'p1', 999, true)).toBe(seen);
    expect(proxySeen(seen, 'p1', 1_000, false)).toBe(seen);
    expect(proxySeen(seen, 'p1', 1_000, true).proxies.p1?.stopped).toBe(true);
    expect(proxySeen(seen, 'p1', 1_001, false).proxies.p1?.lastSeenMs).toBe(1_001);
    expect(healthSeen(healthSeen(nobodySeen, 5), 4).healthSeenMs).toBe(5);
  });

  test.each([-3_600_000, 3_600_000])(
    'a proxy whose clock is off by %d ms is as alive as it is heard',
    (offMs) => {
      const sample = { ...eventOf('LoadSampled', {}, startMs + offMs), storedMs: startMs };
      const seen = witness(nobodySeen, sample);
      expect(censusOf(seen, 10, 100, startMs + 5)).toEqual({ live: ['p1'], missing: [] });
      expect(censusOf(seen, 10, 100, startMs + 50)).toEqual({ live: [], missing: ['p1'] });
      const probes = { ...eventOf('ProbesSampled', {}, startMs + offMs), storedMs: startMs };
      expect(witness(nobodySeen, probes).healthSeenMs).toBe(startMs);
    },
  );

  test('a proxy that starts again after its good-bye is live', () => {
    const again = proxySeen(proxySeen(nobodySeen, 'p1', 1, true), 'p1', 2, false);
    expect(censusOf(again, 10, 100, 3).live).toEqual(['p1']);
  });
});
