import fc from 'fast-check';
import {
  type Candidate,
  chooseLeastLoaded,
  inFlightLimit,
  takesRequests,
  wishedCapacityRps,
} from './routing.ts';
import { evolveServer, newServer, type ServerState } from './server.ts';
import { eventOf, readyState, startMs } from './testing/builders.ts';

describe('takesRequests', () => {
  const ready: ServerState = { ...newServer('s1', 'web', 0), ...readyState };

  test.each<[string, Partial<ServerState>, boolean]>([
    ['ready and healthy', {}, true],
    ['unhealthy', { health: 'unhealthy' }, false],
    ['of unknown health', { health: 'unknown' }, false],
    ['cordoned', { cordoned: true }, false],
    ['waking', { lifecycle: 'waking' }, false],
    ['draining', { lifecycle: 'draining' }, false],
    ['ready with hardware that can not be read', { powerState: 'unknown' }, true],
  ])('%s', (_what, change, takes) => {
    expect(takesRequests({ ...ready, ...change })).toBe(takes);
  });
});

describe('chooseLeastLoaded', () => {
  const candidate = fc.record(
    {
      name: fc.string({ maxLength: 3 }),
      capacityRps: fc.integer({ min: 1, max: 1_000 }),
      inFlight: fc.nat(100),
      maxInFlight: fc.integer({ min: 1, max: 100 }),
    },
    { requiredKeys: ['name', 'capacityRps', 'inFlight'] },
  ) as fc.Arbitrary<Candidate & { maxInFlight?: number }>;
  const limitOf = ({ maxInFlight }: { maxInFlight?: number }) => maxInFlight ?? Number.POSITIVE_INFINITY;
  const unlimited = () => Number.POSITIVE_INFINITY;
  const hasRoom = (one: Candidate & { maxInFlight?: number }) => one.inFlight < limitOf(one);

  test('is the least loaded that has room, whatever the turn', () => {
    fc.assert(
      fc.property(fc.array(candidate), fc.nat(), (candidates, turn) => {
        const load = (one: Candidate) => (one.inFlight + 1) / one.capacityRps;
        const chosen = chooseLeastLoaded(candidates, turn, limitOf);
        const open = candidates.filter(hasRoom);
        if (!chosen) return expect(open).toEqual([]);
        expect(candidates).toContain(chosen);
        expect(hasRoom(chosen)).toBe(true);
        for (const other of open) expect(load(chosen)).toBeLessThanOrEqual(load(other));
      }),
    );
  });

  test('equals take turns', () => {
    const equals = ['a', 'b', 'c'].map((name) => ({ name, capacityRps: 10, inFlight: 0 }));
    const names = [0, 1, 2, 3].map((turn) => chooseLeastLoaded(equals, turn, unlimited)?.name);
    expect(names).toEqual(['a', 'b', 'c', 'a']);
  });

  test('by capacity: the tenfold server takes ten to one', () => {
    const small = { name: 'small', capacityRps: 10, inFlight: 0 };
    const chosenAt = (inFlight: number) =>
      chooseLeastLoaded([small, { name: 'big', capacityRps: 100, inFlight }], 0, unlimited)?.name;
    expect([chosenAt(0), chosenAt(8), chosenAt(10)]).toEqual(['big', 'big', 'small']);
  });
});

describe('what a server wants of itself', () => {
  const fresh = newServer('s1', 'web', startMs);
  const healthy = evolveServer(fresh, eventOf('ServerBecameHealthy'));

  test('it is healthy since it became so, not since that was repeated', () => {
    const later = startMs + 60_000;
    expect(evolveServer(healthy, eventOf('ServerBecameHealthy', {}, later)).healthyAtMs).toBe(startMs);
    const sick = evolveServer(healthy, eventOf('ServerBecameUnhealthy'));
    expect(evolveServer(sick, eventOf('ServerBecameHealthy', {}, later)).healthyAtMs).toBe(later);
  });

  test('is a share of what the server itself wants', () => {
    const half = evolveServer(healthy, eventOf('HeartbeatStarted', { weightPercent: 50, maxInFlight: 30 }));
    expect([wishedCapacityRps(healthy, 100), wishedCapacityRps(half, 100)]).toEqual([100, 50]);
    expect([inFlightLimit(half, 20), inFlightLimit(half, 40), inFlightLimit(half, undefined)]).toEqual([
      20, 30, 30,
    ]);
    expect([inFlightLimit(healthy, 20), inFlightLimit(healthy, undefined)]).toEqual([20, undefined]);
    const none = evolveServer(healthy, eventOf('HeartbeatStarted', { weightPercent: 0 }));
    expect([takesRequests(healthy), takesRequests(none)]).toEqual([true, false]);
  });
});
