import { Value } from '@sinclair/typebox/value';
import { parse } from 'yaml';
import { FleetConfigSchema } from '../../libs/events/mod.ts';
import { rackConfig, rackConfigYaml } from './config.ts';

const energy = { offWatts: 10, idleWatts: 140, busyWatts: 200, setupWatts: 200, setupTimeMs: 480 };
const rack = {
  username: 'admin',
  caFile: '/run/rack/ca.pem',
  fingerprint256: Array(32).fill('A0').join(':'),
  servers: ['a', 'b'].map((name, index) => ({
    name,
    originUrl: `http://rack:${9_001 + 2 * index}`,
    bmcUrl: `https://rack:${9_000 + 2 * index}`,
    systemId: '1',
    capacityRps: 160,
    workers: 4,
    energy,
  })),
};

describe('rackConfig', () => {
  test('is a valid Nemuri config, read back from its YAML', () => {
    const made = rackConfig(rack, {
      password: 'file:/run/rack/bmc-password',
      poolSettings: { minServers: 2, planner: { headroom: 0.1 } },
      bounds: { reconcileIntervalMs: 200 },
      redfish: { requestTimeoutMs: 500 },
      wakeTimeoutMs: 9_000,
      inFlightPerWorker: 1.5,
    });
    const config = Value.Default(FleetConfigSchema, parse(rackConfigYaml(made)));
    expect([...Value.Errors(FleetConfigSchema, config)]).toEqual([]);
    expect(config).toMatchObject({
      pools: { web: { minServers: 2, planner: { headroom: 0.1 } } },
      bounds: { reconcileIntervalMs: 200 },
      servers: {
        b: {
          pool: 'web',
          url: 'http://rack:9003',
          maxInFlight: 6,
          wakeTimeoutMs: 9_000,
          energy,
          power: [
            {
              url: 'https://rack:9002',
              password: 'file:/run/rack/bmc-password',
              systemId: '1',
              requestTimeoutMs: 500,
              tls: { caFile: '/run/rack/ca.pem' },
            },
          ],
        },
      },
    });
  });

  test('leaves to the defaults what the caller leaves out', () => {
    const made = rackConfig(rack, { password: 'env:BMC_PASSWORD', pool: 'shop' });
    expect(made.pools).toEqual({ shop: {} });
    expect(made).not.toHaveProperty('bounds');
    expect(made.servers.a).not.toHaveProperty('maxInFlight');
    expect(Value.Check(FleetConfigSchema, Value.Default(FleetConfigSchema, structuredClone(made)))).toBe(
      true,
    );
  });
});
