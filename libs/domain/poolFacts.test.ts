import { poolFactsOf } from './poolFacts.ts';
import { fleetConfig, readyState, scriptedFleet, withDecision, withServers } from './testing/builders.ts';

test('counts a pool, and counts anew once a fact has come or the states are others', () => {
  const { fleet, fact } = scriptedFleet(fleetConfig({ servers: 3 }));
  expect(poolFactsOf(fleet, 'web')).toMatchObject({ servers: 3, taking: 0, awake: 3, mending: [] });
  fact('ServerPoweredOn', {});
  fact('ServerBecameHealthy', {});
  expect(poolFactsOf(fleet, 'web').taking).toBe(1);
  const decided = withDecision(withServers(fleet, { s2: readyState }), ['s2', 's3'], 0);
  expect(poolFactsOf(decided, 'web')).toMatchObject({ taking: 2, notReadyOfTarget: ['s3'] });
  expect([...poolFactsOf(decided, 'web').target]).toEqual(['s2', 's3']);
  expect(poolFactsOf(fleet, 'nowhere')).toMatchObject({ servers: 0, taking: 0 });
});

test('is asked again and again for the price of one count', () => {
  const { fleet } = scriptedFleet(fleetConfig({ servers: 3 }));
  expect(poolFactsOf(fleet, 'web')).toBe(poolFactsOf(fleet, 'web'));
});
