import { scriptedFleet, viewOf } from '../../libs/domain/testing/builders.ts';
import { DriverError, type MeterReading, type PowerDriver } from './drivers/driver.ts';
import { meterServer } from './meter.ts';
import { fakeMachines } from './testing/fakeMachine.ts';

const { make } = fakeMachines('on');
const metering = (meter: () => Promise<MeterReading>): PowerDriver => {
  const [method] = viewOf(scriptedFleet().fleet, 's1').config.power;
  if (!method) throw new Error('no method');
  return { ...make('s1', method), meter };
};
const noFigure = metering(async () => ({ powerWatts: undefined, source: 'the BMC offers no meter' }));
const broken = metering(async () => {
  throw new DriverError('unreachable', 'no answer');
});
const plug = metering(async () => ({ powerWatts: 87, source: 'the plug' }));

test.each<[string, PowerDriver[], object, number]>([
  [
    'the first figure counts',
    [plug, broken],
    { powerWatts: 87, meter: 'measured', meterSource: 'the plug' },
    0,
  ],
  [
    'a BMC without a meter, then a plug',
    [noFigure, plug],
    { powerWatts: 87, meter: 'measured', meterSource: 'the plug' },
    0,
  ],
  ['one that fails, then one that does not', [broken, plug], { meterSource: 'the plug' }, 1],
  ['no figure at all is modelled', [noFigure, broken], { meter: 'modelled', meterSource: 'energy model' }, 1],
  ['no meter is modelled', [], { meter: 'modelled' }, 0],
])('%s', async (_what, drivers, expected, errors) => {
  const onError = jest.fn();
  const server = viewOf(scriptedFleet().fleet, 's1');
  const data = await meterServer(server, drivers, 0, new AbortController().signal, onError);
  expect(data).toMatchObject({ server: 's1', ...expected });
  expect(onError).toHaveBeenCalledTimes(errors);
});
