import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  evolve,
  type MachineInput,
  type MachineState,
  machineWatts,
  nextDueMs,
  powerStateOf,
  resetTypes,
} from './machine.ts';
import { curveWatts, machineModels } from './models.ts';

const timings = { setupTimeMs: 1_000, poweringOnMs: 200, shutdownMs: 300 };
const states = {
  off: { kind: 'off', sinceMs: 0 },
  poweringOn: { kind: 'poweringOn', sinceMs: 0, onAtMs: 200, serveAtMs: 1_000 },
  booting: { kind: 'booting', sinceMs: 200, serveAtMs: 1_000, opened: false },
  opened: { kind: 'booting', sinceMs: 200, serveAtMs: 1_000, opened: true },
  serving: { kind: 'serving', sinceMs: 0 },
  crashed: { kind: 'crashed', sinceMs: 0 },
  poweringOff: { kind: 'poweringOff', sinceMs: 0, offAtMs: 300, thenOn: false },
  restarting: { kind: 'poweringOff', sinceMs: 0, offAtMs: 300, thenOn: true },
} as const satisfies Record<string, MachineState>;
const input = {
  on: { kind: 'reset', resetType: 'On' },
  forceOff: { kind: 'reset', resetType: 'ForceOff' },
  shutdown: { kind: 'reset', resetType: 'GracefulShutdown' },
  restart: { kind: 'reset', resetType: 'GracefulRestart' },
  forceRestart: { kind: 'reset', resetType: 'ForceRestart' },
  button: { kind: 'reset', resetType: 'PushPowerButton' },
  cut: { kind: 'cutPower' },
  time: { kind: 'timePassed' },
  listening: { kind: 'originListening' },
  exited: { kind: 'originExited' },
} as const satisfies Record<string, MachineInput>;

describe('evolve', () => {
  test.each<
    [keyof typeof states, keyof typeof input, number, MachineState['kind'], string, number | undefined]
  >([
    ['off', 'on', 10, 'poweringOn', 'startOrigin', 210],
    ['off', 'button', 10, 'poweringOn', 'startOrigin', 210],
    ['off', 'forceRestart', 10, 'poweringOn', 'startOrigin', 210],
    ['off', 'restart', 10, 'poweringOn', 'startOrigin', 210],
    ['off', 'shutdown', 10, 'off', '', undefined],
    ['off', 'forceOff', 10, 'off', '', undefined],
    ['off', 'cut', 10, 'off', '', undefined],
    ['poweringOn', 'on', 10, 'poweringOn', '', 200],
    ['poweringOn', 'time', 199, 'poweringOn', '', 200],
    ['poweringOn', 'time', 200, 'booting', '', 1_000],
    ['poweringOn', 'time', 1_500, 'booting', 'openOrigin', undefined],
    ['poweringOn', 'button', 10, 'off', 'killOrigin', undefined],
    ['poweringOn', 'exited', 10, 'crashed', '', undefined],
    ['booting', 'time', 999, 'booting', '', 1_000],
    ['booting', 'time', 1_000, 'booting', 'openOrigin', undefined],
    ['booting', 'shutdown', 500, 'off', 'killOrigin', undefined],
    ['booting', 'forceOff', 500, 'off', 'killOrigin', undefined],
    ['opened', 'time', 5_000, 'booting', '', undefined],
    ['opened', 'listening', 1_001, 'serving', '', undefined],
    ['serving', 'on', 10, 'serving', '', undefined],
    ['serving', 'shutdown', 10, 'poweringOff', 'terminateOrigin', 310],
    ['serving', 'button', 10, 'poweringOff', 'terminateOrigin', 310],
    ['serving', 'forceOff', 10, 'off', 'killOrigin', undefined],
    ['serving', 'cut', 10, 'off', 'killOrigin', undefined],
    ['serving', 'forceRestart', 10, 'poweringOn', 'killOrigin startOrigin', 210],
    ['serving', 'exited', 10, 'crashed', '', undefined],
    ['crashed', 'shutdown', 10, 'poweringOff', 'terminateOrigin', 310],
    ['crashed', 'listening', 10, 'crashed', '', undefined],
    ['poweringOff', 'time', 299, 'poweringOff', '', 300],
    ['poweringOff', 'time', 300, 'off', 'killOrigin', undefined],
    ['poweringOff', 'on', 10, 'poweringOff', '', 300],
    ['poweringOff', 'exited', 10, 'poweringOff', '', 300],
    ['poweringOff', 'forceOff', 10, 'off', 'killOrigin', undefined],
    ['restarting', 'time', 300, 'poweringOn', 'killOrigin startOrigin', 500],
    ['restarting', 'shutdown', 10, 'poweringOff', '', 300],
    ['off', 'listening', 10, 'off', '', undefined],
    ['off', 'exited', 10, 'off', '', undefined],
  ])('%s, %s at %d ms: %s', (from, what, nowMs, kind, effects, dueMs) => {
    const step = evolve(states[from], input[what], nowMs, timings);
    expect(step.state.kind).toBe(kind);
    expect(step.effects.join(' ')).toBe(effects);
    expect(nextDueMs(step.state)).toBe(dueMs);
  });

  test('a graceful restart comes back, a shutdown on top of it does not', () => {
    const restarting = evolve(states.serving, input.restart, 0, timings).state;
    expect(evolve(restarting, input.time, 300, timings).state.kind).toBe('poweringOn');
    const stopping = evolve(restarting, input.shutdown, 100, timings).state;
    expect(evolve(stopping, input.time, 300, timings).state.kind).toBe('off');
  });

  test('an origin runs exactly while the machine is not off, whatever is done to it', () => {
    const inputs = fc.array(
      fc.oneof(
        fc.constantFrom(...resetTypes).map((resetType): MachineInput => ({ kind: 'reset', resetType })),
        fc.constantFrom<MachineInput>(input.cut, input.time, input.listening),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(inputs, fc.integer({ min: 1, max: 700 }), (sequence, stepMs) => {
        let state: MachineState = states.off;
        let running = 0;
        for (const [index, what] of sequence.entries()) {
          const step = evolve(state, what, index * stepMs, timings);
          state = step.state;
          for (const effect of step.effects) {
            if (effect === 'startOrigin') running += 1;
            if (effect === 'killOrigin') running -= 1;
          }
          expect(running).toBe(state.kind === 'off' ? 0 : 1);
        }
      }),
    );
  });

  test.each([
    ['off', 'Off'],
    ['poweringOn', 'PoweringOn'],
    ['booting', 'On'],
    ['serving', 'On'],
    ['crashed', 'On'],
    ['poweringOff', 'PoweringOff'],
  ] as const)('%s reads as %s', (state, powerState) => {
    expect(powerStateOf(states[state])).toBe(powerState);
  });
});

describe('watts', () => {
  const model = machineModels['xeon-2009'];

  test.each<[keyof typeof states, number, number]>([
    ['off', 0.5, 10],
    ['poweringOn', 0, 200],
    ['booting', 0, 200],
    ['crashed', 0, 140],
    ['serving', 0, 140],
    ['serving', 1, 200],
    ['serving', 7, 200],
    ['serving', -1, 140],
    // Half load of the R610 is 122 W between 60 and 172: 62/112 of the way from 140 to 200.
    ['serving', 0.5, 140 + (60 * 62) / 112],
    // 15 %: half-way between 86 and 98.
    ['serving', 0.15, 140 + (60 * 32) / 112],
    ['poweringOff', 0, 140],
  ])('%s at utilization %d draws %d W', (state, utilization, watts) => {
    expect(machineWatts(model, states[state], utilization)).toBeCloseTo(watts, 9);
  });

  test.each(Object.entries(machineModels))('%s has the curve published for it', (_name, machine) => {
    const rows = readFileSync('lab/rack/specpower.csv', 'utf8').split('\n');
    const row = rows.find((line) => line.startsWith(`${machine.curveOf},`));
    const watts = row
      ?.slice(machine.curveOf.length + 1)
      .split(',')
      .slice(2, 13)
      .map(Number);
    expect(machine.curveWatts).toEqual(watts);
    expect(curveWatts(machine, 0)).toBeCloseTo(machine.idleWatts, 9);
    expect(curveWatts(machine, 1)).toBeCloseTo(machine.busyWatts, 9);
  });
});
