import { parseSimulateOptions } from './options.ts';
import { testBed } from './world.ts';

test('the defaults are the published test bed', () => {
  expect(parseSimulateOptions(['--trace', 'a.csv'])).toEqual({
    trace: 'a.csv',
    policy: 'nemuri',
    parameters: {},
    facts: testBed,
    peakRps: undefined,
    serviceSeconds: 0.1,
    maxParked: 1_000,
    setupSpread: 0,
    wakeFailure: 0,
    spare: 0,
    risk: undefined,
    config: undefined,
    seed: 1,
    json: false,
  });
});

test('takes each option', () => {
  const line =
    '--trace a.csv --policy kpa --policy-param a=1 --policy-param b=0.5 --servers 3 --capacity-rps 50 --peak-rps 90 ' +
    '--setup-seconds 10 --setup-spread 0.2 --idle-watts 1 --busy-watts 2 --setup-watts 3 --off-watts 0 --slo-ms 250 ' +
    '--service-ms 20 --max-parked 7 --wake-failure 0.05 --spare 1 --risk 0.01 --config c.yaml --seed 4 --json';
  expect(parseSimulateOptions(line.split(' '))).toEqual({
    trace: 'a.csv',
    policy: 'kpa',
    parameters: { a: 1, b: 0.5 },
    facts: {
      servers: 3,
      capacityRps: 50,
      setupSeconds: 10,
      idleWatts: 1,
      busyWatts: 2,
      setupWatts: 3,
      offWatts: 0,
      latencyObjectiveSeconds: 0.25,
    },
    peakRps: 90,
    serviceSeconds: 0.02,
    maxParked: 7,
    setupSpread: 0.2,
    wakeFailure: 0.05,
    spare: 1,
    risk: 0.01,
    config: 'c.yaml',
    seed: 4,
    json: true,
  });
});

test.each([
  [[], '--trace CSV is missing'],
  [['--trace', 'a', '--servers', '1.5'], '--servers must be a whole number (got "1.5")'],
  [['--trace', 'a', '--seed', ''], '--seed must be a number from 0'],
  [['--trace', 'a', '--wake-failure', '1'], '--wake-failure must be a number from 0 to 0.9 (got "1")'],
  [['--trace', 'a', '--spare', '15'], '--spare must be a number from 0 to 14'],
  [['--trace', 'a', '--policy-param', 'x'], '--policy-param x must be a number'],
])('refuses %j', (args, message) => {
  expect(() => parseSimulateOptions(args)).toThrow(message);
});
