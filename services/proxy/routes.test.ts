import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { FleetConfig } from '../../libs/events/mod.ts';
import { compileRoutes } from './routes.ts';

type Routes = FleetConfig['pools'][string]['routes'];

function tableOf(pools: Record<string, Routes>) {
  const config = fleetConfig();
  const [pool] = Object.values(config.pools);
  if (!pool) throw new Error('the test config has no pool');
  return compileRoutes({
    ...config,
    pools: Object.fromEntries(Object.entries(pools).map(([name, routes]) => [name, { ...pool, routes }])),
  });
}

test.each<[string, string | undefined, string, string | undefined]>([
  ['the longest prefix wins', 'a.example', '/api/v1/x', 'api'],
  ['a prefix ends at a segment', 'a.example', '/apix', 'web'],
  ['a prefix takes itself', 'a.example', '/api', 'api'],
  ['a query is not part of the path', 'a.example', '/api?q=1', 'api'],
  ['a named host goes first', 'shop.example', '/api', 'shop'],
  ['in any case and with a port', 'SHOP.example:8080', '/', 'shop'],
  ['no host at all', undefined, '/', 'web'],
])('%s', (_name, host, path, pool) => {
  const match = tableOf({
    web: [{ pathPrefix: '/' }],
    api: [{ pathPrefix: '/api' }],
    shop: [{ host: 'shop.example', pathPrefix: '/' }],
  });
  expect(match(host, path)).toBe(pool);
});

test('nothing matches: no pool', () => {
  const match = tableOf({ api: [{ pathPrefix: '/api' }], shop: [{ host: 'shop.example', pathPrefix: '/' }] });
  expect(match('other.example', '/')).toBeUndefined();
});

test('one pool that takes all needs no look at host and path', () => {
  expect(tableOf({ web: [{ pathPrefix: '/' }] })(undefined, '/anything')).toBe('web');
});
