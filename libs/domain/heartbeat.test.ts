import type { EventDraft } from '../events/mod.ts';
import {
  evolveHeartbeat,
  factOfHeartbeat,
  factOfSilence,
  type Heartbeat,
  type HeartbeatState,
  isWithdrawn,
} from './heartbeat.ts';
import { takesRequests } from './routing.ts';
import { evolveServer, newServer, type ServerState } from './server.ts';
import { asleepState, eventOf, readyState, recorded, sampleData, startMs } from './testing/builders.ts';

const base = newServer('s1', 'web', startMs);
const speaks: HeartbeatState = { speaking: true, sinceMs: startMs, bootId: 'b1', wish: 'ready' };
const ready: ServerState = { ...base, ...readyState, heartbeat: speaks };
const beat: Heartbeat = sampleData.HeartbeatSent;

describe('factOfHeartbeat', () => {
  const { heartbeat: _mute, ...mute } = ready;
  const silent = { ...speaks, speaking: false };
  const announced = { ...ready, shutdownAnnouncedAtMs: startMs };
  test.each<[string, ServerState, Partial<Heartbeat>, string | undefined]>([
    ['nothing new', ready, {}, undefined],
    ['the first', mute, {}, 'HeartbeatStarted'],
    ['the first after a silence', { ...ready, heartbeat: silent }, {}, 'HeartbeatStarted'],
    ['another boot while it should serve', ready, { bootId: 'b2' }, 'ServerRebooted'],
    ['another boot after a silence', { ...ready, heartbeat: silent }, { bootId: 'b2' }, 'ServerRebooted'],
    ['another boot while draining', { ...ready, lifecycle: 'draining' }, { bootId: 'b2' }, 'ServerRebooted'],
    ['another boot while waking', { ...ready, lifecycle: 'waking' }, { bootId: 'b2' }, 'HeartbeatStarted'],
    ['a speaker that knows no boot', ready, { bootId: undefined as never }, undefined],
    ['a wish', ready, { wish: 'maint' }, 'ServerWished'],
    ['a weight', ready, { weightPercent: 75 }, 'ServerWished'],
    ['a bound', ready, { maxInFlight: 30 }, 'ServerWished'],
    ['going down, as announced', announced, { shuttingDown: true }, undefined],
    ['up all the same', announced, {}, 'ServerShutdownCalledOff'],
  ])('%s', (_what, server, change, type) => {
    const said = JSON.parse(JSON.stringify({ ...beat, ...change })) as Heartbeat;
    expect(factOfHeartbeat(server, said, startMs + 1)?.type).toBe(type);
  });

  test('a heartbeat from before the announcement does not call it off', () => {
    expect(factOfHeartbeat(announced, beat, startMs)).toBeUndefined();
  });

  test.each(['HeartbeatStarted', 'ServerRebooted', 'ServerWished', 'ServerShutdownCalledOff'] as const)(
    '%s, folded, is no news any more',
    (type) => {
      const before: Record<typeof type, ServerState> = {
        HeartbeatStarted: mute,
        ServerRebooted: ready,
        ServerWished: ready,
        ServerShutdownCalledOff: announced,
      };
      const said = { ...beat, ...(type === 'ServerRebooted' ? { bootId: 'b2' } : {}) };
      const wished = type === 'ServerWished' ? { ...said, wish: 'drain' as const } : said;
      const fact = factOfHeartbeat(before[type], wished, startMs + 1);
      expect(fact?.type).toBe(type);
      const { type: _type, ...data } = fact ?? {};
      const told = { type, data: { server: 's1', pool: 'web', ...data } } as EventDraft;
      const after = evolveServer(before[type], recorded(told, startMs + 1));
      expect(factOfHeartbeat(after, wished, startMs + 2)).toBeUndefined();
    },
  );
});

test('silence is news past the lease, once, and only of what spoke', () => {
  const fact = factOfSilence(ready, 7_001, 7_000);
  expect(fact).toEqual({ type: 'HeartbeatLost', silentMs: 7_001 });
  expect(factOfSilence(ready, 7_000, 7_000)).toBeUndefined();
  expect(factOfSilence(base, 99_999, 7_000)).toBeUndefined();
  const lost = evolveServer(ready, eventOf('HeartbeatLost'));
  expect(factOfSilence(lost, 99_999, 7_000)).toBeUndefined();
  expect([lost.lifecycle, lost.health, takesRequests(lost)]).toEqual(['ready', 'healthy', true]);
});

test('hardware off is silence by itself', () => {
  expect(evolveServer(ready, eventOf('ServerPoweredOff')).heartbeat?.speaking).toBe(false);
});

describe('a reboot while it should serve', () => {
  const rebooted = evolveServer(ready, eventOf('ServerRebooted'));

  test('warms it up again: it serves when a probe says so', () => {
    expect(rebooted).toMatchObject({ lifecycle: 'waking', health: 'unknown', heartbeat: { bootId: 'b2' } });
    expect(rebooted.readyAtMs).toBeUndefined();
    expect(evolveServer(rebooted, eventOf('ServerBecameHealthy')).lifecycle).toBe('ready');
  });

  test('ends a drain: what was in flight there is gone', () => {
    const draining = evolveServer(ready, eventOf('SleepRequested'));
    const { lifecycle, sleep } = evolveServer(draining, eventOf('ServerRebooted'));
    expect([lifecycle, sleep]).toEqual(['waking', undefined]);
  });

  test('told twice, says nothing new', () => {
    const again = evolveServer(rebooted, eventOf('ServerBecameHealthy'));
    expect(evolveServer(again, eventOf('ServerRebooted')).lifecycle).toBe('ready');
  });

  test.each(['asleep', 'waking', 'stopping', 'failed', 'quarantined'] as const)(
    'not one that is %s',
    (now) => {
      const server = { ...ready, ...(now === 'asleep' ? asleepState : {}), lifecycle: now };
      expect(evolveServer(server, eventOf('ServerRebooted')).lifecycle).toBe(now);
    },
  );
});

describe('withdrawn by its own word', () => {
  test.each(['drain', 'maint'] as const)('it wishes to %s', (wish) => {
    const server = evolveServer(ready, eventOf('ServerWished', { wish }));
    expect([isWithdrawn(server), takesRequests(server)]).toEqual([true, false]);
    const back = evolveServer(server, eventOf('ServerWished', { wish: 'ready' }));
    expect(takesRequests(back)).toBe(true);
  });

  test('a wish of one that never spoke is none', () => {
    expect(evolveHeartbeat(base, eventOf('ServerWished'))).toBe(base);
  });

  const announced = evolveServer(ready, eventOf('ServerShutdownAnnounced', {}, startMs + 5));

  test('it announced its shutdown', () => {
    expect(announced.shutdownAnnouncedAtMs).toBe(startMs + 5);
    expect(takesRequests(announced)).toBe(false);
  });

  test.each([
    ['ServerShutdownCalledOff', {}],
    ['HeartbeatStarted', { bootId: 'b2' }],
    ['ServerRebooted', { bootId: 'b2' }],
    ['ServerBecameUnhealthy', {}],
    ['ServerPoweredOff', {}],
  ] as const)('until %s', (type, data) => {
    expect(evolveServer(announced, eventOf(type, data)).shutdownAnnouncedAtMs).toBeUndefined();
  });

  test.each([
    ['HeartbeatStarted', { bootId: 'b1' }],
    ['HeartbeatLost', {}],
    ['ServerBecameHealthy', {}],
    ['WakeRequested', {}],
    ['PowerStateLost', {}],
    ['ServerPoweredOn', {}],
  ] as const)('and still after %s', (type, data) => {
    expect(evolveServer(announced, eventOf(type, data)).shutdownAnnouncedAtMs).toBeDefined();
  });
});
