import fc from 'fast-check';
import {
  type BalancedCandidate,
  type BalancingPolicy,
  type Choice,
  chooseServer,
  earnRetry,
  fullRetryBudget,
  hashOf,
  peakEwmaMs,
  type RetryBudget,
  slowStartShare,
  spendRetry,
} from './balancing.ts';

const policies: BalancingPolicy[] = ['leastLoaded', 'powerOfTwo', 'roundRobin', 'hash', 'pack'];

function server(name: string, change: Partial<BalancedCandidate> = {}): BalancedCandidate {
  const known = { capacityRps: 100, inFlight: 0, latencyMs: 0, wattsPerRps: 1 };
  return { name, nameHash: hashOf(name), ...known, ...change };
}

function choice(change: Partial<Choice> = {}): Choice {
  return { turn: 0, random: () => 0, keyHash: 1, targetOf: () => 10, ...change };
}

const names = ['a', 'b', 'c', 'd', 'e'];
const unlimited = () => Number.POSITIVE_INFINITY;

test.each(policies)('%s: never one without room, always one when there is', (policy) => {
  const loads = fc.array(fc.nat(4), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(
      loads,
      fc.nat(),
      fc.nat(),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (inFlights, turn, key, at) => {
        const candidates = inFlights.map((inFlight, index) => server(names[index] ?? '', { inFlight }));
        const chosen = chooseServer(
          policy,
          candidates,
          choice({ turn, keyHash: key, random: () => at }),
          () => 3,
        );
        const open = candidates.filter(({ inFlight }) => inFlight < 3);
        if (open.length === 0) expect(chosen).toBeUndefined();
        else expect(open).toContain(chosen);
      },
    ),
  );
});

test('roundRobin: each in its turn', () => {
  const candidates = names.map((name) => server(name));
  const chosen = [0, 1, 2, 5].map(
    (turn) => chooseServer('roundRobin', candidates, choice({ turn }), unlimited)?.name,
  );
  expect(chosen).toEqual(['a', 'b', 'c', 'a']);
});

test('powerOfTwo: of two, the one that answers sooner', () => {
  const candidates = [server('slow', { latencyMs: 500 }), server('fast', { latencyMs: 5 })];
  expect(chooseServer('powerOfTwo', candidates, choice(), unlimited)?.name).toBe('fast');
});

describe('hash', () => {
  const candidates = names.map((name) => server(name));
  const placeOf = (among: readonly BalancedCandidate[], key: number) =>
    chooseServer('hash', among, choice({ keyHash: hashOf(`key ${key}`) }), unlimited)?.name;
  const keys = Array.from({ length: 2_000 }, (_, key) => key);

  test('spreads the keys evenly, and a server that sleeps moves only its own', () => {
    const counts = new Map<string | undefined, number>();
    for (const key of keys)
      counts.set(placeOf(candidates, key), (counts.get(placeOf(candidates, key)) ?? 0) + 1);
    for (const name of names) expect(counts.get(name)).toBeGreaterThan(300);
    const awake = candidates.filter(({ name }) => name !== 'c');
    for (const key of keys) {
      const before = placeOf(candidates, key);
      if (before !== 'c') expect(placeOf(awake, key)).toBe(before);
    }
  });

  test('no server gets more than its bounded share, however hot a key is', () => {
    const loads = new Map(names.map((name) => [name, 0]));
    for (let request = 0; request < 1_000; request += 1) {
      const now = names.map((name) => server(name, { inFlight: loads.get(name) ?? 0 }));
      const name = chooseServer('hash', now, choice({ keyHash: 7 }), unlimited)?.name ?? '';
      loads.set(name, (loads.get(name) ?? 0) + 1);
    }
    expect(Math.max(...loads.values())).toBeLessThanOrEqual(Math.ceil((1.25 * 1_000) / 5));
  });
});

test.each<[string, BalancedCandidate[], string]>([
  ['the most efficient first', [server('hungry', { wattsPerRps: 3 }), server('lean')], 'lean'],
  ['up to its target', [server('hungry', { wattsPerRps: 3 }), server('lean', { inFlight: 10 })], 'hungry'],
  [
    'all at their target: the least loaded',
    [server('x', { inFlight: 30 }), server('y', { inFlight: 20 })],
    'y',
  ],
])('pack: %s', (_what, candidates, expected) => {
  expect(chooseServer('pack', candidates, choice(), unlimited)?.name).toBe(expected);
});

test('a latency jumps up at once and comes down by half in its half-time', () => {
  expect(peakEwmaMs(10, 100, 0)).toBe(100);
  expect(peakEwmaMs(100, 0, 5_000)).toBeCloseTo(50);
});

test.each([
  [0, 0.1],
  [500, 0.1],
  [5_000, 0.5],
  [10_000, 1],
])('slow start after %d of 10000 ms: %d', (sinceMs, share) => {
  expect(slowStartShare(sinceMs, 10_000)).toBe(share);
});

test('retries stay a fifth of the requests once the first ten are spent', () => {
  let budget: RetryBudget = fullRetryBudget;
  let retries = 0;
  for (let request = 0; request < 1_000; request += 1) {
    budget = earnRetry(budget, 0.2, request);
    const after = spendRetry(budget);
    if (after) {
      budget = after;
      retries += 1;
    }
  }
  expect(retries).toBeGreaterThan(200);
  expect(retries).toBeLessThanOrEqual(211);
});

test('retries that nobody needed are saved for a server’s death, but not for long', () => {
  let budget: RetryBudget = fullRetryBudget;
  const at = (timeMs: number, requests: number) => {
    for (let request = 0; request < requests; request += 1) budget = earnRetry(budget, 0.2, timeMs);
    return budget.tokens;
  };
  for (let second = 0; second < 60; second += 1) at(second * 1_000, 1_000);
  // A fifth of the requests of about the last seven seconds.
  expect(at(60_000, 1)).toBeGreaterThan(1_000);
  expect(at(60_000, 1)).toBeLessThan(1_600);
  expect(at(180_000, 1)).toBeLessThan(11);
});
