import { parseTrialOptions } from './options.ts';

test('what is left out has a default', () => {
  expect(parseTrialOptions([])).toMatchObject({
    speed: 480,
    servers: 8,
    days: undefined,
    faults: false,
    arms: ['alwaysOn', 'reactive', 'nemuri'],
  });
  expect(parseTrialOptions(['--help'])).toBe('help');
});

test.each([
  ['--speed', '0', '--speed must be a number from 1 to 1000 (got "0")'],
  ['--servers', '2.5', '--servers must be a whole number (got "2.5")'],
  ['--days', 'two', '--days must be a number from 0.01 to 10000 (got "two")'],
  ['--arms', 'nemuri,other', '--arms must be of alwaysOn, reactive, nemuri (got "other")'],
])('%s %s is refused by name, rule and value', (option, value, message) => {
  expect(() => parseTrialOptions([option, value])).toThrow(message);
});
