import { newServer, type ServerState } from '../../libs/domain/mod.ts';
import { nextWord } from './drains.ts';

const nowMs = 1_000_000;
const drainTimeoutMs = 30_000;

function draining(proxies: Record<string, 'draining' | 'drained' | 'timedOut'>, sinceMs = 0): ServerState {
  const sleep = {
    sleepId: 'sleep-1',
    requestedAtMs: nowMs - sinceMs,
    reason: 'test',
    attempt: 0,
    attemptedAtMs: nowMs,
    attemptFailed: false,
    forced: false,
    proxies,
  };
  return { ...newServer('server-1', 'web', 0), lifecycle: 'draining', sleep };
}

test.each<[string, ServerState, number, string | undefined]>([
  ['nothing in flight: drained at once', draining({}), 0, 'ServerDrained'],
  ['in flight: says that it began', draining({}), 3, 'ServerDrainStarted'],
  ['said so already: says nothing again', draining({ p: 'draining' }), 3, undefined],
  ['the last one is answered', draining({ p: 'draining' }), 0, 'ServerDrained'],
  ['over its time', draining({ p: 'draining' }, drainTimeoutMs), 3, 'DrainTimedOut'],
  ['over its time, never begun', draining({}, drainTimeoutMs), 3, 'DrainTimedOut'],
  ['drained is the last word', draining({ p: 'drained' }), 0, undefined],
  ['so is timed out', draining({ p: 'timedOut' }, drainTimeoutMs), 0, undefined],
  ['another proxy speaks for itself', draining({ q: 'drained' }), 1, 'ServerDrainStarted'],
  ['not draining: nothing to say', { ...draining({}), lifecycle: 'ready' }, 0, undefined],
])('%s', (_name, server, inFlight, type) => {
  expect(nextWord(server, 'p', inFlight, drainTimeoutMs, nowMs)?.type).toBe(type);
});
