import { fleetConfig, recorded, sampleData, scriptedFleet } from '../../libs/domain/testing/builders.ts';
import type { FleetListener } from '../../libs/runtime/fleetView.ts';
import { createHarness } from '../testing/harness.ts';
import { followTraffic, type Traffic } from './traffic.ts';

const harness = createHarness();
const { bus, log } = harness.context('health');
const { fleet } = scriptedFleet(fleetConfig({ bounds: { sampleIntervalMs: 1_000 } }));
const listeners = new Set<FleetListener>();
let timeMs = 1_000;
let traffic: Traffic;

beforeAll(async () => {
  const onChange = (listener: FleetListener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const clock = { monotonicMs: () => timeMs };
  traffic = await followTraffic({ bus, log, clock, view: { fleet, onChange } });
});

afterAll(async () => {
  await traffic.stop();
  await harness.close();
});

/** A proxy ejects s1 for 10 s, by a clock that is ahead by so much. */
function eject(aheadMs: number): void {
  const sentMs = timeMs + aheadMs;
  const data = { ...sampleData.ServerEjected, server: 's1', proxy: 'p1', untilMs: sentMs + 10_000 };
  const event = recorded({ type: 'ServerEjected', data }, sentMs);
  for (const listener of listeners) listener(event, fleet);
}

test.each([0, 568_000, -568_000])(
  'an ejection lasts as long as the proxy meant, with its clock wrong by %i ms',
  (aheadMs) => {
    eject(aheadMs);
    timeMs += 9_999;
    expect(traffic.witness('s1')).toBe('failing');
    timeMs += 1;
    expect(traffic.witness('s1')).toBe('idle');
  },
);
