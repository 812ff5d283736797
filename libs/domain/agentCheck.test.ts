import fc from 'fast-check';
import {
  formatAgentCheck,
  freshAgentCheck,
  parseAgentCheck,
  sayingOfAgentCheck,
  withAnswer,
} from './agentCheck.ts';
import type { Wish } from './heartbeat.ts';

test.each<[string, object | undefined]>([
  ['75% ready\n', { weightPercent: 75, wish: 'ready' }],
  ['drain\n', { wish: 'drain' }],
  ['maint\r\n', { wish: 'maint' }],
  ['down\n', { isUp: false }],
  ['stopped#for the night', { isUp: false }],
  ['failed # up', { isUp: false }],
  ['up', { isUp: true }],
  ['maxconn:30\n', { maxInFlight: 30 }],
  ['UP,\tReady, 200% maxconn:5', { isUp: true, wish: 'ready', weightPercent: 200, maxInFlight: 5 }],
  ['up\ndown', { isUp: true }],
  ['0%', { weightPercent: 0 }],
  ['hello world', undefined],
  ['', undefined],
  ['# ready', undefined],
  ['-5%', undefined],
  ['7.5%', undefined],
  [`${' '.repeat(1_024)}drain`, undefined],
])('%j', (line, expected) => expect(parseAgentCheck(line)).toEqual(expected));

test('words that are left out stay as they were', () => {
  const said = ['75% ready', 'maxconn:30', 'down', 'drain', 'up', 'ready'].map((line) =>
    parseAgentCheck(line),
  );
  let state = freshAgentCheck;
  const wishes = said.map((answer) => {
    state = withAnswer(state, answer ?? {});
    return sayingOfAgentCheck(state).wish;
  });
  expect(wishes).toEqual(['ready', 'ready', 'drain', 'drain', 'drain', 'ready']);
  expect(sayingOfAgentCheck(state)).toEqual({ wish: 'ready', weightPercent: 75, maxInFlight: 30 });
});

test('down does not end a maintenance', () => {
  expect(sayingOfAgentCheck({ wish: 'maint', isUp: false }).wish).toBe('maint');
});

test('what we answer is what we would read', () => {
  const saying = fc.record(
    {
      wish: fc.constantFrom<Wish>('ready', 'drain', 'maint'),
      weightPercent: fc.integer({ min: 0, max: 1_000 }),
      maxInFlight: fc.integer({ min: 0, max: 9_999_999 }),
    },
    { requiredKeys: ['wish', 'weightPercent'] },
  );
  fc.assert(
    fc.property(saying, fc.boolean(), (said, shuttingDown) => {
      const wish = shuttingDown ? 'drain' : said.wish;
      expect(parseAgentCheck(formatAgentCheck(said, shuttingDown))).toEqual({ ...said, wish, isUp: true });
    }),
  );
});
