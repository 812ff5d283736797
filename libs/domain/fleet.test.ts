import fc from 'fast-check';
import { type EventType, eventTypes, type RecordedEvent } from '../events/mod.ts';
import {
  evolve,
  type Fleet,
  floorOf,
  foldInto,
  initialFleet,
  serversOfPool,
  serverViewOf,
  skipInto,
} from './fleet.ts';
import {
  draftOf,
  eventOf,
  fleetConfig,
  recorded,
  scriptedFleet,
  serverNames,
  startMs,
} from './testing/builders.ts';

const history: fc.Arbitrary<RecordedEvent[]> = fc
  .array(
    fc.record({
      type: fc.constantFrom<EventType>(...eventTypes),
      server: fc.constantFrom('s1', 's2', 's3', 'unknown', 'constructor'),
      pool: fc.constantFrom('web', 'constructor'),
      afterMs: fc.integer({ min: 0, max: 10_000 }),
    }),
    { maxLength: 50 },
  )
  .map((steps) => {
    let nowMs = startMs;
    return steps.map(({ type, server, pool, afterMs }, index) => {
      nowMs += afterMs;
      const { data } = draftOf(type) as { data: object };
      const about = Object.entries({ server, pool }).filter(([key]) => key in data);
      return recorded(draftOf(type, Object.fromEntries(about)), nowMs, index + 2);
    });
  });
const configured = eventOf('FleetConfigured');

function foldAll(fleet: Fleet, events: readonly RecordedEvent[]): Fleet {
  for (const event of events) foldInto(fleet, event);
  return fleet;
}

describe('the fold', () => {
  test('evolve and foldInto tell the same, and evolve leaves its argument alone', () => {
    fc.assert(
      fc.property(history, (events) => {
        const all = [configured, ...events];
        const first = initialFleet();
        expect(all.reduce(evolve, first)).toEqual(foldAll(initialFleet(), all));
        expect(first).toEqual(initialFleet());
      }),
    );
  });

  test('an event folded again changes nothing', () => {
    fc.assert(
      fc.property(history, (events) => {
        const once = foldAll(initialFleet(), [configured, ...events]);
        const twice = foldAll(structuredClone(once), [configured, ...events]);
        expect(twice).toEqual(once);
      }),
    );
  });

  test('a snapshot at any cut, as JSON, ends in the same fleet', () => {
    fc.assert(
      fc.property(history, fc.nat(50), (events, cut) => {
        const all = [configured, ...events];
        const snapshot = JSON.stringify(foldAll(initialFleet(), all.slice(0, cut)));
        const resumed = foldAll(JSON.parse(snapshot) as Fleet, all.slice(cut));
        expect(resumed).toEqual(foldAll(initialFleet(), all));
      }),
    );
  });

  test('telemetry is no part of it', () => {
    const { fleet } = scriptedFleet();
    expect(evolve(fleet, recorded(draftOf('LoadSampled'), startMs, 99))).toEqual(fleet);
  });

  test('the fence of each subject is the last sequence on it, that of a malformed message included', () => {
    const { fleet, fact } = scriptedFleet();
    fact('ServerPoweredOn', {});
    fact('ServerCordoned', {});
    skipInto(fleet, 'some subject', 9);
    skipInto(fleet, 'late', 4);
    expect(Object.values(fleet.lastSequences)).toEqual([1, 2, 3, 9]);
    expect(fleet.sequence).toBe(9);
  });

  test('facts of servers and pools that are not configured are stepped over', () => {
    const { fleet, fact } = scriptedFleet();
    fact('ServerPoweredOn', { server: 'constructor' });
    fact('TargetPinned', { pool: 'constructor' });
    expect(Object.keys(fleet.servers)).toEqual(serverNames(3));
    expect(fleet.pools).toEqual({ web: { name: 'web', paused: false } });
  });
});

describe('reconfiguration', () => {
  test('keeps what is known, drops what is gone, looks at what is new', () => {
    const { fleet, fact } = scriptedFleet(fleetConfig({ servers: 2 }));
    fact('ServerPoweredOn', {});
    fact('ServerBecameHealthy', {});
    fact('PlannerPaused', {});
    const known = fleet.servers.s1;
    const { s1, s3 } = fleetConfig({ servers: 3 }).servers;
    if (!s1 || !s3) throw new Error('no such servers');
    const config = { ...fleetConfig(), servers: { s1: { ...s1, capacityRps: 7 }, s3 } };
    fact('FleetConfigured', { config }, startMs + 1);
    expect(fleet.servers.s1).toBe(known);
    expect(Object.keys(fleet.servers)).toEqual(['s1', 's3']);
    expect(fleet.servers.s3).toMatchObject({ lifecycle: 'waking', powerState: 'unknown' });
    expect(fleet.pools.web?.paused).toBe(true);
    expect(fleet.configuredAtMs).toBe(startMs + 1);
  });

  test('a server with another URL is another machine; only the cordon of its name stays', () => {
    const { fleet, fact } = scriptedFleet(fleetConfig({ servers: 1 }));
    fact('ServerPoweredOn', {});
    fact('ServerBecameHealthy', {});
    fact('ServerCordoned', {});
    fact('FleetConfigured', {
      config: fleetConfig({ servers: 1, server: { url: 'http://other.test:8080' } }),
    });
    expect(fleet.servers.s1).toMatchObject({ lifecycle: 'waking', powerState: 'unknown', cordoned: true });
  });

  test('a server may change its pool', () => {
    const { fleet, fact } = scriptedFleet(fleetConfig({ servers: 1 }));
    const config = fleetConfig({ servers: 1, server: { pool: 'api' } });
    fact('FleetConfigured', {
      config: { ...config, pools: { ...config.pools, api: config.pools.web } },
    } as object);
    expect(fleet.servers.s1).toMatchObject({ name: 's1', pool: 'api' });
    expect(serversOfPool(fleet, 'api').map(({ state }) => state.name)).toEqual(['s1']);
  });
});

describe('pools', () => {
  test('the operator pins, pauses and lets go', () => {
    const { fleet, fact } = scriptedFleet();
    fact('TargetPinned', { servers: 2 });
    fact('PlannerPaused', {});
    expect(fleet.pools.web).toEqual({ name: 'web', paused: true, pinnedServers: 2 });
    fact('TargetUnpinned', {});
    fact('PlannerResumed', {});
    expect(fleet.pools.web).toEqual({ name: 'web', paused: false });
  });

  test('the floor is the higher of config and pin, and never more than there are', () => {
    const { fleet, fact } = scriptedFleet(fleetConfig({ pool: { minServers: 1 } }));
    expect(floorOf(fleet, 'web')).toBe(1);
    fact('TargetPinned', { servers: 2 });
    expect(floorOf(fleet, 'web')).toBe(2);
    fact('TargetPinned', { servers: 99 });
    expect(floorOf(fleet, 'web')).toBe(3);
    expect(floorOf(fleet, 'unknown')).toBe(0);
  });

  test('a decision keeps its time, lease and trace', () => {
    const { fleet } = scriptedFleet();
    const decided = { ...draftOf('CapacityDecided'), traceparent: '00-a-b-01' };
    foldInto(fleet, recorded(decided, startMs + 5, 7));
    expect(fleet.pools.web?.decision).toEqual({
      sequence: 7,
      target: ['s1'],
      decidedAtMs: startMs + 5,
      validForMs: 30_000,
      reason: 'test',
      traceparent: '00-a-b-01',
    });
  });

  test('servers come in the order of their names', () => {
    const { fleet } = scriptedFleet(fleetConfig({ servers: 11 }));
    const names = serversOfPool(fleet, 'web').map(({ state }) => state.name);
    expect(names).toEqual([...serverNames(11)].sort());
    expect(serversOfPool(initialFleet(), 'web')).toEqual([]);
    expect(serverViewOf(fleet, 's2')?.config.capacityRps).toBe(100);
    expect(serverViewOf(fleet, 'constructor')).toBeUndefined();
    expect(serverViewOf(initialFleet(), 's1')).toBeUndefined();
  });
});
