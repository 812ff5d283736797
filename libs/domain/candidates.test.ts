import fc from 'fast-check';
import { candidatesOf } from './candidates.ts';
import type { Fleet } from './fleet.ts';
import { createSelection } from './selection.ts';
import type { ServerState } from './server.ts';
import {
  fleetConfig,
  readyState,
  scriptedFleet,
  serverNames,
  startMs,
  withServers,
} from './testing/builders.ts';

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

  const factTypes = [
    'ServerPoweredOn',
    'ServerBecameHealthy',
    'ServerBecameUnhealthy',
    'WakeRequested',
    'ServerPoweredOff',
    'ServerQuarantined',
    'SleepOrdered',
    'ServerCordoned',
  ] as const;
  const happening = fc.record({ type: fc.constantFrom(...factTypes), server: fc.constantFrom(...names) });

  test('follows the facts that are folded in, whether it looked at each of them or at many together', () => {
    const scene = fc.array(fc.record({ facts: fc.array(happening), nowMs: soonMs }), { minLength: 2 });
    fc.assert(
      fc.property(scene, (turns) => {
        const { fleet, fact } = scriptedFleet(structuredClone(config));
        const later = scriptedFleet(structuredClone(config));
        for (const { facts, nowMs } of turns) {
          for (const { type, server } of facts) {
            fact(type, { server }, nowMs);
            later.fact(type, { server }, nowMs);
          }
          expect(candidatesOf(fleet, 'web', nowMs)).toEqual(anew(fleet, nowMs));
        }
        const lastMs = turns.at(-1)?.nowMs ?? startMs;
        expect(candidatesOf(later.fleet, 'web', lastMs)).toEqual(candidatesOf(fleet, 'web', lastMs));
      }),
    );
  });

  test('another fleet of the same configuration is another one, and the first is still itself', () => {
    const { fleet, fact } = scriptedFleet(structuredClone(config));
    const awake = (of: Fleet) => candidatesOf(of, 'web', startMs).all.filter(({ isAwake }) => isAwake).length;
    const copy = withServers(fleet, { s1: readyState, s2: readyState });
    expect([awake(fleet), awake(copy), awake(fleet)]).toEqual([0, 2, 0]);
    fact('ServerPoweredOn', { server: 's3' });
    fact('ServerBecameHealthy', { server: 's3' });
    expect([awake(fleet), awake(copy)]).toEqual([1, 2]);
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
  const selection = createSelection(all);
  selection.add([...all].reverse().slice(0, 3));
  selection.add(all.slice(8));
  selection.addFirst(all, 2);
  const chosen = selection.names();
  expect(chosen).toEqual([...chosen].sort());
  expect(new Set(chosen).size).toBe(6);
  expect(selection.servers.map(({ name }) => name).sort()).toEqual(chosen);
});
