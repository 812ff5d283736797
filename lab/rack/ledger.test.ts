import { advance, emptyLedger, type LedgerPoint } from './ledger.ts';
import type { MachineState } from './machine.ts';
import { machineModels } from './models.ts';

const model = machineModels['xeon-2009'];
const hourMs = 3_600_000;
const off: MachineState = { kind: 'off', sinceMs: 0 };
const serving: MachineState = { kind: 'serving', sinceMs: 0 };
const booting: MachineState = { kind: 'booting', sinceMs: 0, serveAtMs: 1, opened: false };

function point(name: string, state: MachineState, utilization = 0, capacityRps = 100): LedgerPoint {
  return { name, model, capacityRps, state, utilization };
}

describe('the energy ledger', () => {
  test('an idle hour of one server on and one off, by hand', () => {
    const ledger = advance(emptyLedger(0), hourMs, [point('a', serving), point('b', off)]);
    expect(ledger.fleetWh).toBeCloseTo(140 + 10, 9);
    expect(ledger.alwaysOnWh).toBeCloseTo(2 * 140, 9);
    expect(ledger.perServer.a).toEqual({ energyWh: 140, alwaysOnWh: 140, onMs: hourMs });
    expect(ledger.perServer.b).toEqual({ energyWh: 10, alwaysOnWh: 140, onMs: 0 });
  });

  test('always-on spreads the busy work by capacity: one full server of four is 25 % on each', () => {
    const ledger = advance(emptyLedger(0), hourMs, [
      point('a', serving, 1),
      point('b', off),
      point('c', off),
      point('d', off),
    ]);
    // The R610 draws 98 W at 20 % and 107 W at 30 %, so 102.5 W between them.
    const shareOfRise = (102.5 - 60) / 112;
    expect(ledger.fleetWh).toBeCloseTo(200 + 3 * 10, 9);
    expect(ledger.alwaysOnWh).toBeCloseTo(4 * (140 + 60 * shareOfRise), 9);
  });

  test('servers of unequal capacity carry unequal work', () => {
    const ledger = advance(emptyLedger(0), hourMs, [
      point('big', serving, 0.4, 300),
      point('small', off, 0, 100),
    ]);
    // 0.4 of 300 is 120 of 400: 30 % on each. The R610 at 30 %: 107 W.
    expect(ledger.alwaysOnWh).toBeCloseTo(2 * (140 + (60 * (107 - 60)) / 112), 9);
  });

  test('adds up over a set-up and does not count time twice', () => {
    let ledger = emptyLedger(1_000);
    ledger = advance(ledger, 1_000 + hourMs / 2, [point('a', off)]);
    ledger = advance(ledger, 1_000 + hourMs, [point('a', booting)]);
    ledger = advance(ledger, 1_000 + hourMs, [point('a', serving, 1)]);
    ledger = advance(ledger, 500, [point('a', serving, 1)]);
    expect(ledger.fleetWh).toBeCloseTo(5 + 100, 9);
    expect(ledger.alwaysOnWh).toBeCloseTo(140, 9);
    expect(ledger.perServer.a?.onMs).toBe(hourMs / 2);
  });
});
