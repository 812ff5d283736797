import { fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf } from '../../libs/events/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';
import { createHarness } from '../testing/harness.ts';
import { openDoors } from './doors.ts';

test('a proxy whose clock is set back by an hour goes on saying its load', async () => {
  const harness = createHarness();
  await harness.configure(fleetConfig({ bounds: { sampleIntervalMs: 20 } }));
  let aheadMs = 3_600_000;
  const context = { ...harness.context('proxy-1'), nowMs: () => Date.now() + aheadMs };
  const view = await openFleetView({ bus: context.bus, name: 'proxy-1', onProblem: () => {} });
  const doors = openDoors({ context, view, onConfigured: () => {}, onTimedOut: () => {} });
  const sampleFrom = (sequence: number) =>
    harness.nextEvent(
      'TELEMETRY',
      (event): event is EventOf<'LoadSampled'> => event.type === 'LoadSampled',
      sequence,
    );
  try {
    const { sequence } = await sampleFrom(1);
    aheadMs = 0;
    // The next may be under way already.
    const { data } = await sampleFrom(sequence + 2);
    expect(data.intervalMs).toBeGreaterThan(0);
    expect(data.intervalMs).toBeLessThan(60_000);
  } finally {
    await doors.sayGoodBye();
    doors.close();
    await view.close();
    await harness.close();
  }
});
