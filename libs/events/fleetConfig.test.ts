import { KindGuard, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { type FleetConfig, FleetConfigSchema } from './fleetConfig.ts';

const rung = { driver: 'redfish', url: 'https://bmc1', username: 'nemuri', password: 'env:BMC' };
const server = { pool: 'web', url: 'http://10.0.0.1:8080', capacityRps: 100, power: [rung] };
const minimal = { version: 1, pools: { web: {} }, servers: { s1: server } };

const withPool = (pool: object) => ({ ...minimal, pools: { web: pool } });
const withServer = (change: object) => ({ ...minimal, servers: { s1: { ...server, ...change } } });
const withRung = (change: object) => withServer({ power: [{ ...rung, ...change }] });

function fill(config: object): FleetConfig {
  return Value.Decode(FleetConfigSchema, Value.Default(FleetConfigSchema, structuredClone(config)));
}
function errorsOf(config: object): string[] {
  const filled = Value.Default(FleetConfigSchema, structuredClone(config));
  return [...new Set([...Value.Errors(FleetConfigSchema, filled)].map(({ path }) => path))];
}
describe('defaults', () => {
  test('a minimal config is filled to a whole one', () => {
    expect(errorsOf(minimal)).toEqual([]);
    const { pools, servers, bounds, history } = fill(minimal);
    expect(pools.web).toMatchObject({
      routes: [{ pathPrefix: '/' }],
      minServers: 1,
      failAwake: 'pool',
      healthCheck: {
        probe: { kind: 'http', path: '/', expectStatusMin: 200, expectStatusMax: 399 },
        rise: 2,
      },
      parking: { maxRequests: 1_000 },
      planner: { leaseMs: 30_000, headroom: 0, risk: 0.001 },
      forwarding: { maxAttempts: 3 },
    });
    expect(servers.s1).toMatchObject({
      energy: { idleWatts: 140, setupTimeMs: 260_000 },
      power: [{ tries: 3, allowForceOff: false }],
      wakeTimeoutMs: 780_000,
    });
    expect(bounds).toMatchObject({ maxConcurrentWakes: 4, proxyLeaseMs: 10_000 });
    expect(history).toMatchObject({ maxAgeMs: 400 * 86_400_000, checkpointEvents: 10_000 });
  });

  test('what is said is kept, beside the defaults of its section', () => {
    const { pools } = fill(
      withPool({
        routes: [{ host: 'a.test' }],
        healthCheck: { probe: { kind: 'tcp' }, rise: 5 },
        planner: { headroom: 0.5 },
      }),
    );
    expect(pools.web).toMatchObject({
      routes: [{ host: 'a.test', pathPrefix: '/' }],
      healthCheck: { probe: { kind: 'tcp' }, rise: 5, fall: 3 },
      planner: { headroom: 0.5, risk: 0.001 },
    });
  });

  test('an agent powers off and never forces, unless it is told to suspend', () => {
    const { servers } = fill(
      withServer({ power: [rung, { driver: 'agent' }, { driver: 'agent', how: 'suspend' }] }),
    );
    expect(servers.s1?.power.map((method) => (method.driver === 'agent' ? method.how : ''))).toEqual([
      '',
      'powerOff',
      'suspend',
    ]);
    expect(errorsOf(withServer({ power: [{ driver: 'agent', allowForceOff: true }] }))).not.toEqual([]);
  });

  test('a default is made anew for each: no two pools share one', () => {
    const { pools } = fill({ ...minimal, pools: { web: {}, api: {} } });
    expect(pools.web?.planner).not.toBe(pools.api?.planner);
    expect(pools.web?.routes).not.toBe(pools.api?.routes);
  });

  test('every setting has a default or must be said, and the longest bounds hold their own default', () => {
    const withoutDefault: string[] = [];
    const tagOf = (branch: TSchema) => String(branch.properties?.driver?.const ?? '*');
    const visit = (schema: TSchema, path: string) => {
      if (KindGuard.IsRecord(schema))
        for (const inner of Object.values(schema.patternProperties)) visit(inner as TSchema, `${path}/*`);
      if (KindGuard.IsArray(schema)) visit(schema.items, `${path}/*`);
      if (KindGuard.IsUnion(schema))
        for (const branch of schema.anyOf) visit(branch, path.replace(/\*$/, tagOf(branch)));
      if (!KindGuard.IsObject(schema)) return;
      expect([path, schema.additionalProperties]).toEqual([path, false]);
      for (const [key, property] of Object.entries(schema.properties)) {
        const isRequired = schema.required?.includes(key) ?? false;
        if (isRequired && property.default === undefined) withoutDefault.push(`${path}/${key}`);
        visit(property, `${path}/${key}`);
      }
    };
    visit(FleetConfigSchema, '');
    expect([...new Set(withoutDefault)]).toEqual([
      '/version',
      '/pools',
      '/pools/*/healthCheck/probe/kind',
      '/pools/*/healthCheck/liveness/kind',
      ...['days', 'from', 'to', 'minServers'].map((key) => `/pools/*/planner/schedules/*/${key}`),
      '/servers',
      '/servers/*/pool',
      '/servers/*/url',
      '/servers/*/capacityRps',
      ...['driver', 'url', 'username', 'password'].map((key) => `/servers/*/power/redfish/${key}`),
      ...['driver', 'host', 'username', 'password'].map((key) => `/servers/*/power/ipmi/${key}`),
      ...['driver', 'macs'].map((key) => `/servers/*/power/wol/${key}`),
      ...['driver', 'host', 'username', 'keyFile'].map((key) => `/servers/*/power/ssh/${key}`),
      '/servers/*/power/exec/driver',
      ...['driver', 'url', 'auth/kind', 'auth/username', 'auth/password'].map(
        (key) => `/servers/*/power/http/${key}`,
      ),
      ...['wake', 'sleep', 'readPower', 'meter'].map((act) => `/servers/*/power/http/${act}/path`),
      ...['driver', 'host', 'user/name', 'user/authKey', 'outletOid'].map(
        (key) => `/servers/*/power/pdu/${key}`,
      ),
      '/servers/*/power/agent/driver',
      '/notifications/webhooks/*/url',
    ]);
  });
});

describe('refused', () => {
  test.each<[string, object, string]>([
    ['an unknown key', { ...minimal, colour: 'red' }, '/colour'],
    ['an unknown key of a pool', withPool({ minServer: 2 }), '/pools/web/minServer'],
    ['an unknown key of a section', { ...minimal, bounds: { maxWakes: 1 } }, '/bounds/maxWakes'],
    ['an unknown key of a server', withServer({ weight: 2 }), '/servers/s1/weight'],
    ['an unknown key of a rung', withRung({ user: 'root' }), '/servers/s1/power/0'],
    ['no pool', { ...minimal, pools: {} }, '/pools'],
    ['a pool name that is none', { ...minimal, pools: { Web_1: {} } }, '/pools/Web_1'],
    ['a server name that is none', { ...minimal, servers: { 's.2': server } }, '/servers/s.2'],
    ['another version', { ...minimal, version: 2 }, '/version'],
    ['no capacity', withServer({ capacityRps: 0 }), '/servers/s1/capacityRps'],
    ['a ladder without end', withServer({ power: Array(9).fill(rung) }), '/servers/s1/power'],
    ['a secret in the open', withRung({ password: 'hunter2' }), '/servers/s1/power/0'],
    [
      'more wear than is remembered',
      { ...minimal, bounds: { maxCyclesPerDay: 201 } },
      '/bounds/maxCyclesPerDay',
    ],
    ['no time at all', { ...minimal, bounds: { proxyLeaseMs: 0 } }, '/bounds/proxyLeaseMs'],
  ])('%s', (_what, config, path) => {
    expect(errorsOf(config)).toContain(path);
  });

  test.each<[string, boolean]>([
    ['http://10.0.0.1:8080', true],
    ['https://web1.example', true],
    ['http://[::1]:8080', true],
    ['http://web1/', true],
    ['http://web1/path', false],
    ['http://web1?x=1', false],
    ['http://web1#x', false],
    ['web1:8080', false],
    ['ftp://web1', false],
    ['http://', false],
    ['http://user:secret@web1', false],
    ['http://web 1', false],
  ])('is %s the URL of a server, or of a BMC? %s', (url, isUrl) => {
    expect(errorsOf(withServer({ url }))).toEqual(isUrl ? [] : ['/servers/s1/url']);
    expect(errorsOf(withRung({ url }))).toEqual(isUrl ? [] : ['/servers/s1/power/0']);
  });
});
