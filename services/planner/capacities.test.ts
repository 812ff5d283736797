import {
  draftOf,
  fleetConfig,
  recorded,
  scriptedFleet,
  startMs,
} from '../../libs/domain/testing/builders.ts';
import type { EventDraft, EventOf } from '../../libs/events/mod.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import { createLogger } from '../../libs/runtime/log.ts';
import { createCapacities } from './capacities.ts';

/** A pool whose first server serves for a minute, through two proxies; what was published of it. */
function serveForMinutes(minutes: number, pool: object, healthySinceMs: number): EventDraft[] {
  const { fleet, fact } = scriptedFleet(fleetConfig({ servers: 2, pool }));
  fact('ServerPoweredOn', {}, healthySinceMs);
  fact('ServerBecameHealthy', {}, healthySinceMs);
  const published: EventDraft[] = [];
  const view = {
    fleet,
    record: async (event: EventDraft) => {
      published.push(event);
      fact(event.type, event.data as object, startMs);
      return true;
    },
  } as unknown as FleetView;
  const capacities = createCapacities({ view, log: createLogger('planner', 'planner', 'silent') });
  const latencyMs = { p50: 900, p95: 2_000, p99: 2_500, max: 3_000 };
  const served = { inFlight: 9, completed: 30, failed: 0, latencyMs };
  for (let second = 1; second <= minutes * 60; second += 1) {
    for (const proxy of ['p1', 'p2']) {
      const draft = draftOf('LoadSampled', { proxy, servers: { s1: served } });
      capacities.observe(recorded(draft, startMs + second * 1_000) as EventOf<'LoadSampled'>);
    }
  }
  return published;
}
const learning = { planner: { learnCapacity: true }, latencyObjectiveMs: 500 };
const longAgoMs = startMs - 3_600_000;

test('what two proxies send together is what a server sustains, once it is published', () => {
  const [first, ...more] = serveForMinutes(3, learning, longAgoMs);
  expect(first).toMatchObject({
    type: 'ServerCapacityLearned',
    data: { server: 's1', pool: 'web', capacityRps: 70, configuredRps: 100 },
  });
  expect(more.at(-1)?.data).toMatchObject({ capacityRps: 57 });
});

test.each([
  ['where it is not wanted', { latencyObjectiveMs: 500 }, longAgoMs],
  ['while a server starts slowly', { ...learning, balancing: { slowStartMs: 600_000 } }, startMs],
])('nothing is learned %s', (_when, pool, healthySinceMs) => {
  expect(serveForMinutes(3, pool, healthySinceMs)).toEqual([]);
});
