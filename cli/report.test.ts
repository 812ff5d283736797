import { type Bus, createMemoryStore, type MemoryStore, openMemoryBus } from '../libs/bus/mod.ts';
import { draftOf, fleetConfig } from '../libs/domain/testing/builders.ts';
import { runOnStore } from './testing/run.ts';

let store: MemoryStore;
let bus: Bus;

beforeEach(async () => {
  store = createMemoryStore();
  bus = openMemoryBus(store, { source: 'test' });
});
afterEach(() => bus.close());

const configured = () =>
  bus.publish({
    type: 'FleetConfigured',
    data: {
      config: { ...fleetConfig(), costs: { ...fleetConfig().costs, pricePerKwh: 0.3 } },
      origin: 'test',
    },
  });

test('adds the accounted hours to what the meters say since, with cost and the tally of wakes', async () => {
  await configured();
  await bus.publish(draftOf('EnergyAccounted', { alwaysOnWh: 420 }));
  await bus.publish(draftOf('WakeRequested'));
  await bus.publish(draftOf('DrillPassed'));
  await bus.publish(draftOf('PowerMetered', { powerWatts: 100 }));
  await bus.publish(draftOf('PowerMetered', { powerWatts: 100 }));
  const { code, out, err } = await runOnStore(store, ['report', '--since', 'all', '--json']);
  expect([code, err]).toEqual([0, []]);
  expect(JSON.parse(out.join(''))).toMatchObject({
    energy: { energyKwh: expect.closeTo(0.14, 3), savedPercent: expect.closeTo(66.7, 0), requests: 1 },
    power: { wakes: 1, drillsPassed: 1 },
  });
  const text = await runOnStore(store, ['report', '--since', '1h']);
  expect(text.out[1]).toMatch(/^ {2}used {7}0\.140 kWh ± 0\.003 kWh, 0 % modelled, 0\.04 EUR$/);
});

test('what is nothing when rounded has no sign', async () => {
  await configured();
  await bus.publish(draftOf('EnergyAccounted', { alwaysOnWh: 139.9999 }));
  const { out } = await runOnStore(store, ['report', '--since', 'all']);
  expect(out.join('\n')).toMatch(/saved {6}0\.000 kWh/);
});

test('says when there is nothing to report, and what is missing', async () => {
  expect(await runOnStore(store, ['report'])).toMatchObject({ code: 1 });
  await configured();
  expect((await runOnStore(store, ['report'])).out).toEqual(['No meter reading in this time.']);
  expect(await runOnStore(store, ['report', '--since', 'soon'])).toMatchObject({ code: 2 });
});
