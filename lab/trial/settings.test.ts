import { parseConfig } from '../../libs/runtime/config.ts';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { serverSpecs } from '../rack/options.ts';
import { trialRack, trialSettings } from './settings.ts';

function configAt(speed: number) {
  const specs = serverSpecs(trialRack({ servers: 2, seed: 1, speed, setupSeconds: 260 }));
  const servers = specs.map((spec, index) => ({
    ...spec,
    originUrl: `http://127.0.0.1:${9_001 + 2 * index}`,
    bmcUrl: `https://127.0.0.1:${9_000 + 2 * index}`,
    systemId: '1',
  }));
  const facts = {
    servers,
    username: 'admin',
    caFile: '/ca.pem',
    fingerprint256: Array(32).fill('AB').join(':'),
  };
  const yaml = rackConfigYaml(rackConfig(facts, { ...trialSettings(speed), password: 'env:PASSWORD' }));
  return parseConfig(yaml, { file: 'trial' });
}

test.each([1, 10, 60, 480, 1_000])('the settings of speed %d are a valid configuration', (speed) => {
  const parsed = configAt(speed);
  expect(parsed.ok ? [] : parsed.problems).toEqual([]);
});

test('at speed 1 the times of the planner and of the machines are those of production', () => {
  const parsed = configAt(1);
  if (!parsed.ok) throw new Error('not valid');
  const { planner } = parsed.config.pools.web ?? {};
  expect(planner).toMatchObject({ dayMs: 86_400_000, decideIntervalMs: 2_000, leaseMs: 30_000, risk: 0.001 });
  expect(parsed.config.bounds).toMatchObject({ sampleIntervalMs: 1_000, reconcileIntervalMs: 2_000 });
});

test('at speed 480 a day is three minutes', () => {
  const parsed = configAt(480);
  if (!parsed.ok) throw new Error('not valid');
  expect(parsed.config.pools.web?.planner.dayMs).toBe(180_000);
  const [server] = Object.values(parsed.config.servers);
  expect(server?.energy.setupTimeMs).toBeGreaterThan(260_000 / 480 / 1.16);
  expect(server?.energy.setupTimeMs).toBeLessThan((260_000 / 480) * 1.16);
});
