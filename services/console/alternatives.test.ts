import { fleetConfig, sampleData } from '../../libs/domain/testing/builders.ts';
import { alternativesOf } from './alternatives.ts';

const { inputs } = sampleData.CapacityDecided;
const decided = {
  ...sampleData.CapacityDecided,
  target: ['s1', 's2'],
  forecastRps: 150,
  inputs: { ...inputs, nowRps: 100, headroom: 0.2 },
};

test('one fewer, as decided, one more, all on: what each would have had to spare', () => {
  const config = fleetConfig({ servers: 4 });
  const all = alternativesOf(decided, config);
  expect(all.map(({ choice, servers, marginRps }) => [choice, servers, marginRps])).toEqual([
    ['oneFewer', 1, -80],
    ['decided', 2, 20],
    ['oneMore', 3, 120],
    ['allOn', 4, 220],
  ]);
  const watts = all.map((one) => one.watts);
  expect(watts).toEqual([...watts].sort((a, b) => a - b));
});

test('the one left out is the one that draws most for a request', () => {
  const config = fleetConfig({ servers: 2 });
  const { s2 } = config.servers;
  if (!s2) throw new Error('no s2');
  const mixed = { ...config, servers: { ...config.servers, s2: { ...s2, capacityRps: 400 } } };
  expect(alternativesOf(decided, mixed)[0]).toMatchObject({ choice: 'oneFewer', capacityRps: 400 });
});

test('the last server can not be left out, nor one more be added to all', () => {
  const config = fleetConfig({ servers: 1 });
  const only = { ...decided, target: ['s1'] };
  expect(alternativesOf(only, config).map(({ choice }) => choice)).toEqual(['decided']);
});
