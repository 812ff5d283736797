import { curveWatts, machineModels } from '../rack/models.ts';
import { testBed } from '../simulation/world.ts';
import { optimumOf } from './optimum.ts';

const model = machineModels['xeon-2009'];
const facts = { ...testBed, servers: 4, capacityRps: 100 };

test('a steady load: just the servers it needs, by the curve of the machine; the others asleep', () => {
  const load = { seconds: 7_200, cappedSeconds: 0, rate: () => 150 };
  const { energyWh, wakes, awake } = optimumOf(load, facts, model, 0.8);
  const watts = 2 * curveWatts(model, 0.6) + 2 * facts.offWatts;
  expect(energyWh).toBeCloseTo(watts * 2, 6);
  expect(wakes).toBe(0);
  expect(awake).toHaveLength(12);
  expect(awake[0]).toBe(2);
});

test('a peak that is known of costs its set-up', () => {
  const load = { seconds: 7_200, cappedSeconds: 0, rate: (second: number) => (second >= 3_600 ? 150 : 50) };
  const { wakes, energyWh } = optimumOf(load, facts, model, 0.8);
  expect(wakes).toBe(1);
  const hour1 =
    curveWatts(model, 0.4) + 3 * facts.offWatts + ((facts.setupWatts - facts.offWatts) * 260) / 3_600;
  const hour2 = 2 * curveWatts(model, 0.6) + 2 * facts.offWatts;
  expect(energyWh).toBeCloseTo(hour1 + hour2, 6);
});
