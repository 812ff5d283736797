import fc from 'fast-check';
import type { Fleet } from './fleet.ts';
import { candidatesOf, createSelection } from './selection.ts';
import type { ServerState } from './server.ts';
import { fleetConfig, scriptedFleet, serverNames, startMs, withServers } from './testing/builders.ts';

const config = fleetConfig({ servers: 12 });
const names = serverNames(12);

describe('what is remembered of a pool', () => {
  const soonMs = fc.integer({ min: startMs - 20_000, max: startMs + 150_000 });
  const change = fc.record({
    lifecycle: fc.constantFrom('asleep', 'waking', 'ready', 'failed') as fc.Arbitrary<
      ServerState['lifecycle']
    >,
    health: fc.constantFrom('healthy', 'unhealthy') as fc.Arbitrary<ServerState['health']>,
    failedWakes: fc.nat(2),
    sinceMs: soonMs,
    quarantinedUntilMs: soonMs,
    order: fc.record({
      wants: fc.constantFrom('awake' as const, 'asleep' as const),
      untilMs: soonMs,
      reason: fc.constant('test'),
      by: fc.constant('me'),
    }),
  });
  const patch = fc
    .record({ change, kept: fc.subarray(['sinceMs', 'quarantinedUntilMs', 'order', 'failedWakes'] as const) })
    .map(({ change: { lifecycle, health, ...rest }, kept }) => ({
      lifecycle,
      health,
      ...Object.fromEntries(kept.map((key) => [key, rest[key]])),
    }));
  const turn = fc.record({ patches: fc.dictionary(fc.constantFrom(...names), patch), nowMs: soonMs });
  /** As if nothing of the pool had been seen before. */
  const anew = (fleet: Fleet, nowMs: number) =>
    candidatesOf({ ...fleet, config: structuredClone(config) }, 'web', nowMs);

  test('is what would be made of it anew, whatever changed and whichever way the clock went', () => {
    fc.assert(
      fc.property(fc.array(turn, { minLength: 2, maxLength: 6 }), (turns) => {
        let { fleet } = scriptedFleet(structuredClone(config));
        for (const { patches, nowMs } of turns) {
          fleet = withServers(fleet, patches);
          expect(candidatesOf(fleet, 'web', nowMs)).toEqual(anew(fleet, nowMs));
        }
      }),
    );
  });

  test('a server that is gone from the history is gone', () => {
    const { fleet } = scriptedFleet(structuredClone(config));
    expect(candidatesOf(fleet, 'web', startMs).all).toHaveLength(12);
    const { s5: _gone, ...servers } = fleet.servers;
    const { all, inOrderOfCost } = candidatesOf({ ...fleet, servers }, 'web', startMs);
    expect([all.length, inOrderOfCost.length]).toEqual([11, 11]);
  });
});

test('a selection has each server once and names them in order', () => {
  const { all } = candidatesOf(scriptedFleet(config).fleet, 'web', startMs);
  const selection = createSelection(all.length);
  selection.add([...all].reverse().slice(0, 3));
  selection.add(all.slice(8));
  selection.addFirst(all, 2);
  const chosen = selection.names();
  expect(chosen).toEqual([...chosen].sort());
  expect(new Set(chosen).size).toBe(6);
  expect(selection.servers.map(({ name }) => name).sort()).toEqual(chosen);
});
