import { draftOf, fleetConfig } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import { systemClock } from '../../libs/runtime/clock.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { type Accountant, startAccountant } from './accountant.ts';

let harness: Harness;
let view: FleetView | undefined;
let accountant: Accountant | undefined;
/** How often the accountant has looked at its clock: once a round. */
let asked = 0;
const hourMs = 3_600_000;
const hourly = (event: RecordedEvent): event is EventOf<'EnergyAccounted'> =>
  event.type === 'EnergyAccounted';

/** How fast time passes: by the clock that never jumps, from one look to the next. */
let hourPerLookMs = hourMs;

async function start(laterMs: number): Promise<void> {
  const { bus, log } = harness.context('power');
  view = await openFleetView({ bus, name: 'power', onProblem: () => {} });
  asked = 0;
  const nowMs = () => {
    asked += 1;
    return Date.now() + laterMs;
  };
  const clock = { ...systemClock, monotonicMs: () => asked * hourPerLookMs };
  accountant = await startAccountant({ bus, view, log, nowMs, clock, intervalMs: 5 });
}
async function stop(): Promise<void> {
  await accountant?.stop();
  await view?.close();
}
const metered = async (powerWatts: number) => harness.publish(draftOf('PowerMetered', { powerWatts }));

beforeEach(async () => {
  harness = createHarness();
  await harness.configure(fleetConfig());
});
afterEach(async () => {
  await stop();
  await harness.close();
});

test('an hour that is over is accounted for once, whoever asks, and the next begins where it ended', async () => {
  await metered(100);
  // Two readings of one millisecond have no energy between them.
  const firstMs = Date.now();
  while (Date.now() <= firstMs) await new Promise((resolve) => setImmediate(resolve));
  await metered(200);
  await harness.publish(draftOf('LoadSampled', { completed: 7 }));
  await start(2 * hourMs);
  const { data, sequence } = await harness.nextEvent('FLEET', hourly);
  expect(data).toMatchObject({ pool: 'web', requests: 7, toMs: data.fromMs + hourMs });
  expect(data.servers.s1?.coveredMs).toBeLessThan(hourMs);
  await stop();
  await start(2 * hourMs);
  while (asked < 5) await new Promise((resolve) => setImmediate(resolve));
  expect(await harness.bus.lastSequence('FLEET')).toBe(sequence);
});

test('right after its start it closes no hour: what it missed is still to come', async () => {
  hourPerLookMs = 0;
  try {
    await metered(100);
    await harness.publish(draftOf('LoadSampled', { completed: 7 }));
    const last = await harness.bus.lastSequence('FLEET');
    await start(2 * hourMs);
    for (let looks = 0; looks < 20; looks += 1) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await harness.bus.lastSequence('FLEET')).toBe(last);
  } finally {
    hourPerLookMs = hourMs;
  }
});
