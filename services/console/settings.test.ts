import { consoleSettings } from './settings.ts';

test('listens on this machine without a login', () => {
  expect(consoleSettings({})).toEqual({
    host: '127.0.0.1',
    port: 8090,
    token: undefined,
    origin: undefined,
    otlp: undefined,
    jaegerUrl: undefined,
  });
});

test('beyond this machine a token must be named, or waived by its word', () => {
  const listen = { NEMURI_CONSOLE_LISTEN: '0.0.0.0:8090' };
  expect(() => consoleSettings(listen)).toThrow(/NEMURI_CONSOLE_TOKEN must be set/);
  expect(consoleSettings({ ...listen, NEMURI_CONSOLE_TOKEN: 'env:TOKEN' }).token).toBe('env:TOKEN');
  expect(consoleSettings({ ...listen, NEMURI_CONSOLE_TOKEN: 'none' }).token).toBeUndefined();
});

test('a token itself is refused and not shown', () => {
  expect(() => consoleSettings({ NEMURI_CONSOLE_TOKEN: 'hunter2' })).toThrow(/env:NAME or file:/);
  expect(() => consoleSettings({ NEMURI_CONSOLE_TOKEN: 'hunter2' })).not.toThrow(/hunter2/);
});

test.each(['ftp://x', 'not a url'])('%s is no origin', (value) => {
  expect(() => consoleSettings({ NEMURI_CONSOLE_ORIGIN: value })).toThrow(/NEMURI_CONSOLE_ORIGIN/);
});
