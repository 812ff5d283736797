import fc from 'fast-check';
import { type EventType, eventTypes, type RecordedEvent } from '../events/mod.ts';
import { awaitsSleepProof, evolveServer, type Lifecycle, newServer, type ServerState } from './server.ts';
import { draftOf, eventOf, recorded, scriptedFleet, startMs } from './testing/builders.ts';

const lifecycles: readonly Lifecycle[] = [
  'asleep',
  'waking',
  'ready',
  'draining',
  'stopping',
  'failed',
  'quarantined',
];

function fold(server: ServerState, ...events: readonly RecordedEvent[]): ServerState {
  return events.reduce(evolveServer, server);
}

const fresh = newServer('s1', 'web', startMs);
const adopted = fold(fresh, eventOf('ServerPoweredOn'), eventOf('ServerBecameHealthy'));
const verified = fold(fresh, eventOf('ServerPoweredOff'), eventOf('SleepVerified'));
const wokenOff = fold(verified, eventOf('WakeRequested'), eventOf('WakeAttempted'));
const draining = fold(adopted, eventOf('SleepRequested'));
const stopping = fold(draining, eventOf('SleepAttempted'));
const failedOn = fold(wokenOff, eventOf('ServerPoweredOn'), eventOf('WakeTimedOut'));

/** Each lifecycle as it usually is: asleep and waking with the hardware off, all others with it on. */
const usual: Readonly<Record<Lifecycle, ServerState>> = {
  asleep: verified,
  waking: wokenOff,
  ready: adopted,
  draining,
  stopping,
  failed: failedOn,
  quarantined: fold(failedOn, eventOf('ServerQuarantined')),
};

/** What each event makes of each usual lifecycle; left out: it stays. New intents bear new ids. */
const transitions: Partial<Record<EventType, Partial<Record<Lifecycle, Lifecycle>>>> = {
  WakeRequested: {
    asleep: 'waking',
    draining: 'waking',
    stopping: 'waking',
    failed: 'waking',
    quarantined: 'waking',
  },
  WakeTimedOut: { waking: 'failed' },
  ServerQuarantined: { failed: 'quarantined' },
  ServerPoweredOn: { asleep: 'waking' },
  ServerPoweredOff: { ready: 'stopping', draining: 'stopping' },
  SleepRequested: { waking: 'draining', ready: 'draining', failed: 'draining', quarantined: 'draining' },
  SleepCancelled: { draining: 'ready', stopping: 'waking' },
  SleepAttempted: { draining: 'stopping' },
  ServerRebooted: { ready: 'waking', draining: 'waking' },
  ServerBecameHealthy: { failed: 'ready', quarantined: 'ready' },
  SleepContradicted: { asleep: 'failed' },
};

function fact(type: EventType): RecordedEvent {
  if (type === 'WakeRequested') return eventOf(type, { wakeId: 'w2' }, startMs + 1);
  return type === 'SleepRequested'
    ? eventOf(type, { sleepId: 'z2' }, startMs + 1)
    : eventOf(type, {}, startMs + 1);
}

describe('every event in every lifecycle', () => {
  test.each(lifecycles)('%s is what its builder says', (lifecycle) => {
    expect(usual[lifecycle].lifecycle).toBe(lifecycle);
  });

  for (const type of eventTypes) {
    test(type, () => {
      for (const before of lifecycles) {
        const after = evolveServer(usual[before], fact(type));
        expect([before, after.lifecycle]).toEqual([before, transitions[type]?.[before] ?? before]);
        if (after.lifecycle !== before) expect(after.sinceMs).toBe(startMs + 1);
      }
    });
  }
});

describe('wake', () => {
  test('is ready when power is on and a probe is good, and its set-up time is learned', () => {
    const on = evolveServer(wokenOff, eventOf('ServerPoweredOn', {}, startMs + 20_000));
    expect(on).toMatchObject({ lifecycle: 'waking', wake: { poweredOnAtMs: startMs + 20_000 } });
    const ready = evolveServer(on, eventOf('ServerBecameHealthy', {}, startMs + 60_000));
    expect(ready).toMatchObject({
      lifecycle: 'ready',
      readyAtMs: startMs + 60_000,
      setupTimesMs: [60_000],
      failedWakes: 0,
    });
    expect(ready.wake).toBeUndefined();
  });

  test('is not ready while its hardware says off, however well it answers', () => {
    const answering = evolveServer(wokenOff, eventOf('ServerBecameHealthy'));
    expect(answering).toMatchObject({ lifecycle: 'waking', health: 'healthy' });
    expect(evolveServer(answering, eventOf('ServerPoweredOn')).lifecycle).toBe('ready');
  });

  test('of a server that is on already becomes ready by probes alone and teaches no set-up time', () => {
    const sick = fold(adopted, eventOf('ServerBecameUnhealthy'), eventOf('WakeRequested'));
    expect(sick).toMatchObject({ lifecycle: 'waking', health: 'unknown', wake: { attempt: 0 } });
    const ready = evolveServer(sick, eventOf('ServerBecameHealthy', {}, startMs + 5));
    expect(ready).toMatchObject({ lifecycle: 'ready', setupTimesMs: [] });
  });

  test('that comes when the server serves already changes nothing', () => {
    expect(evolveServer(adopted, eventOf('WakeRequested'))).toBe(adopted);
  });

  test('keeps climbing when the hardware falls off again', () => {
    const off = fold(wokenOff, eventOf('ServerPoweredOn'), eventOf('ServerPoweredOff'));
    expect(off).toMatchObject({ lifecycle: 'waking', powerState: 'off' });
    expect(off.wake).not.toHaveProperty('poweredOnAtMs');
  });

  test('counts failures until it is ready again', () => {
    const twice = fold(
      failedOn,
      eventOf('ServerQuarantined'),
      eventOf('WakeRequested', { wakeId: 'w2' }),
      eventOf('WakeTimedOut', { wakeId: 'w2' }),
    );
    expect(twice.failedWakes).toBe(2);
    expect(evolveServer(twice, eventOf('ServerBecameHealthy'))).toMatchObject({
      lifecycle: 'ready',
      failedWakes: 0,
    });
  });

  test('remembers 16 set-up times, the newest last', () => {
    let server = verified;
    for (let index = 0; index < 20; index += 1) {
      const wakeId = `w${index}`;
      server = fold(
        server,
        eventOf('WakeRequested', { wakeId }),
        eventOf('ServerPoweredOn'),
        eventOf('ServerBecameHealthy', {}, startMs + index),
        eventOf('ServerPoweredOff'),
        eventOf('SleepVerified'),
      );
    }
    expect(server.setupTimesMs).toEqual(Array.from({ length: 16 }, (_, index) => index + 4));
  });
});

describe('sleep', () => {
  test('is proven by hardware off and silence only', () => {
    expect(evolveServer(stopping, eventOf('SleepVerified'))).toBe(stopping);
    const off = evolveServer(stopping, eventOf('ServerPoweredOff', {}, startMs + 9));
    expect(off).toMatchObject({ lifecycle: 'stopping', powerState: 'off', sinceMs: startMs + 9 });
    const asleep = evolveServer(off, eventOf('SleepVerified', {}, startMs + 10));
    expect(asleep).toMatchObject({ lifecycle: 'asleep', health: 'unknown', sleptAtMs: [startMs + 10] });
    expect(asleep.sleep).toBeUndefined();
  });

  test('called off while draining: ready again, or still what it was before it ever was ready', () => {
    expect(evolveServer(draining, eventOf('SleepCancelled')).lifecycle).toBe('ready');
    const neverReady = fold(fresh, eventOf('ServerPoweredOn'), eventOf('SleepRequested'));
    expect(evolveServer(neverReady, eventOf('SleepCancelled')).lifecycle).toBe('waking');
  });

  test('called off while stopping: a probe must say that it serves', () => {
    const back = evolveServer(stopping, eventOf('SleepCancelled'));
    expect(back).toMatchObject({ lifecycle: 'waking', powerState: 'on', health: 'unknown' });
    expect(evolveServer(back, eventOf('ServerBecameHealthy')).lifecycle).toBe('ready');
  });

  test('can not be called off when the hardware is off', () => {
    const off = evolveServer(stopping, eventOf('ServerPoweredOff'));
    expect(evolveServer(off, eventOf('SleepCancelled'))).toBe(off);
  });

  test('of an unhealthy server goes on', () => {
    const sick = fold(draining, eventOf('ServerBecameUnhealthy'), eventOf('SleepAttempted'));
    expect(sick).toMatchObject({ lifecycle: 'stopping', health: 'unhealthy' });
  });

  test('takes each proxy at its word', () => {
    const drained = fold(
      draining,
      eventOf('ServerDrainStarted'),
      eventOf('ServerDrained', { proxy: 'p2' }),
      eventOf('DrainTimedOut', { proxy: 'p3' }),
    );
    expect(drained.sleep?.proxies).toEqual({ p1: 'draining', p2: 'drained', p3: 'timedOut' });
  });

  test('contradicted: failed, then proven by silence, or ready when the hardware says on', () => {
    const off = evolveServer(stopping, eventOf('ServerPoweredOff'));
    const contradicted = evolveServer(off, eventOf('SleepContradicted'));
    expect(contradicted).toMatchObject({ lifecycle: 'failed', failedWakes: 0 });
    expect(evolveServer(contradicted, eventOf('SleepVerified')).lifecycle).toBe('asleep');
    const on = fold(contradicted, eventOf('ServerPoweredOn'), eventOf('ServerBecameHealthy'));
    expect(on.lifecycle).toBe('ready');
    expect(fold(off, eventOf('ServerPoweredOn'), eventOf('SleepContradicted')).lifecycle).toBe('waking');
  });

  test('a failed wake does not pass as a sleep before its quarantine', () => {
    const failedOff = evolveServer(wokenOff, eventOf('WakeTimedOut'));
    expect(awaitsSleepProof(failedOff)).toBe(false);
    expect(evolveServer(failedOff, eventOf('SleepVerified')).lifecycle).toBe('failed');
    expect(fold(failedOn, eventOf('ServerPoweredOff'), eventOf('ServerQuarantined')).lifecycle).toBe(
      'quarantined',
    );
  });

  test('what answered before a failed wake is no reason to serve when its hardware says on', () => {
    const answered = evolveServer(wokenOff, eventOf('ServerBecameHealthy'));
    expect(answered).toMatchObject({ lifecycle: 'waking', powerState: 'off', health: 'healthy' });
    const quarantined = fold(answered, eventOf('WakeTimedOut'), eventOf('ServerQuarantined'));
    expect(evolveServer(quarantined, eventOf('ServerPoweredOn'))).toMatchObject({
      lifecycle: 'quarantined',
      health: 'unknown',
    });
    // Nor is it when the probes have taken it back meanwhile.
    const silent = evolveServer(answered, eventOf('ServerBecameUnhealthy'));
    expect(evolveServer(silent, eventOf('ServerPoweredOn')).lifecycle).toBe('waking');
  });

  test('remembers 256 sleeps', () => {
    const off = evolveServer(stopping, eventOf('ServerPoweredOff'));
    const old = { ...off, sleptAtMs: Array.from({ length: 256 }, (_, index) => index) };
    const { sleptAtMs } = evolveServer(old, eventOf('SleepVerified'));
    expect([sleptAtMs.length, sleptAtMs[0], sleptAtMs.at(-1)]).toEqual([256, 1, startMs]);
  });
});

describe('what nobody asked for', () => {
  test('a button pressed while it served: stopping, then asleep when proven', () => {
    const off = evolveServer(adopted, eventOf('ServerPoweredOff'));
    expect(off).toMatchObject({ lifecycle: 'stopping', powerState: 'off', health: 'unknown' });
    expect(off.readyAtMs).toBeUndefined();
    expect(evolveServer(off, eventOf('SleepVerified')).lifecycle).toBe('asleep');
  });

  test('a reboot that the hardware shows: it is looked at as one that wakes', () => {
    const back = fold(adopted, eventOf('ServerPoweredOff'), eventOf('ServerPoweredOn'));
    expect(back).toMatchObject({ lifecycle: 'waking', health: 'unknown' });
    expect(evolveServer(back, eventOf('ServerBecameHealthy')).lifecycle).toBe('ready');
  });

  test('a reboot that only probes show: ready all through, healthy again in the end', () => {
    const back = fold(adopted, eventOf('ServerBecameUnhealthy'), eventOf('ServerBecameHealthy'));
    expect(back).toEqual(adopted);
  });

  test('hardware that can not be read for a while leaves a sleeper asleep, without another cycle of wear', () => {
    const again = fold(verified, eventOf('PowerStateLost'), eventOf('ServerPoweredOff'));
    expect(again).toEqual(verified);
  });

  test('hardware unreadable and back on while stopping without a sleep: no dead end', () => {
    const back = fold(
      adopted,
      eventOf('ServerPoweredOff'),
      eventOf('PowerStateLost'),
      eventOf('ServerPoweredOn'),
    );
    expect(back.lifecycle).toBe('waking');
  });

  test('hardware unreadable in the middle of our own power-off leaves the sleep in progress', () => {
    const back = fold(stopping, eventOf('PowerStateLost'), eventOf('ServerPoweredOn'));
    expect(back).toMatchObject({ lifecycle: 'stopping', powerState: 'on', sleep: { sleepId: 'z1' } });
  });

  test('quarantined after it came back by itself: it stays ready', () => {
    const back = evolveServer(failedOn, eventOf('ServerBecameHealthy'));
    expect(evolveServer(back, eventOf('ServerQuarantined'))).toBe(back);
  });
});

describe('properties', () => {
  const type = fc.constantFrom(
    ...eventTypes.filter((name) => 'server' in draftOf(name).data),
  ) as fc.Arbitrary<EventType>;
  const step = fc.record({
    type,
    wakeId: fc.constantFrom('w1', 'w2'),
    sleepId: fc.constantFrom('z1', 'z2'),
    proxy: fc.constantFrom('p1', 'p2'),
    afterMs: fc.integer({ min: -1_000, max: 100_000 }),
  });
  const history = fc.array(step, { maxLength: 60 }).map((steps) => {
    let nowMs = startMs;
    return steps.map(({ type: name, wakeId, sleepId, proxy, afterMs }, index) => {
      nowMs += afterMs;
      const { data } = draftOf(name) as { data: object };
      const ids = Object.entries({ wakeId, sleepId, proxy }).filter(([key]) => key in data);
      return recorded(draftOf(name, Object.fromEntries(ids)), nowMs, index + 1);
    });
  });
  // Histories that reach every lifecycle often; pure chance seldom gets past a wake.
  const path = fc.array(fc.constantFrom(...lifecycles), { maxLength: 4 });
  const reached = fc.tuple(path, history).map(([lives, events]) => {
    return fold(usual[lives.at(-1) ?? 'waking'], ...events);
  });

  test('the fold never throws, repeats itself, and keeps its invariants', () => {
    fc.assert(
      fc.property(fc.constantFrom(...lifecycles), history, (lifecycle, events) => {
        let server = usual[lifecycle];
        for (const event of events) {
          const before = server;
          server = evolveServer(before, event);
          expect(evolveServer(structuredClone(before), event)).toEqual(server);
          expect(lifecycles).toContain(server.lifecycle);
          if (server.lifecycle === 'asleep' && before.lifecycle !== 'asleep') {
            expect([event.type, server.powerState]).toEqual(['SleepVerified', 'off']);
          }
          if (server.lifecycle === 'asleep') expect(server.powerState).not.toBe('on');
          if (server.lifecycle === 'ready') expect([server.powerState, server.health]).not.toContain('off');
          if (server.wake) expect(server.lifecycle).toBe('waking');
          if (server.sleep) expect(['draining', 'stopping']).toContain(server.lifecycle);
          if (server.lifecycle === 'draining') expect(server.sleep).toBeDefined();
          if (server.readyAtMs !== undefined)
            expect(['ready', 'draining', 'stopping']).toContain(server.lifecycle);
          for (const setupMs of server.setupTimesMs) expect(setupMs).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('facts of another wake or sleep change nothing', () => {
    const foreign = [
      eventOf('WakeAttempted', { wakeId: 'other' }),
      eventOf('WakeAttemptFailed', { wakeId: 'other' }),
      eventOf('WakeTimedOut', { wakeId: 'other' }),
      eventOf('SleepCancelled', { sleepId: 'other' }),
      eventOf('SleepAttempted', { sleepId: 'other' }),
      eventOf('SleepAttemptFailed', { sleepId: 'other' }),
      eventOf('ServerDrainStarted', { sleepId: 'other' }),
      eventOf('ServerDrained', { sleepId: 'other' }),
      eventOf('DrainTimedOut', { sleepId: 'other' }),
    ];
    fc.assert(
      fc.property(reached, fc.constantFrom(...foreign), (server, event) => {
        expect(evolveServer(server, event)).toBe(server);
      }),
    );
  });

  test('a fact that comes twice in a row says nothing new the second time', () => {
    const once = ({ sleptAtMs: _slept, sinceMs: _since, ...server }: ServerState) => server;
    fc.assert(
      fc.property(reached, type, (server, name) => {
        const first = evolveServer(server, eventOf(name));
        expect(once(evolveServer(first, eventOf(name)))).toEqual(once(first));
      }),
    );
  });
});

test('where no power can be read, what answers is on, and what is proven silent is off', () => {
  const { fleet, fact } = scriptedFleet();
  const s1 = () => fleet.servers.s1;
  fact('PowerReadingUnavailable', {});
  fact('ServerBecameHealthy', {});
  expect(s1()).toMatchObject({ lifecycle: 'ready', powerState: 'on', powerInferred: true });
  fact('SleepRequested', {});
  fact('SleepAttempted', {});
  fact('SleepVerified', {});
  expect(s1()).toMatchObject({ lifecycle: 'asleep', powerState: 'off' });
  fact('SleepContradicted', {});
  expect(s1()).toMatchObject({ lifecycle: 'waking', powerState: 'on', health: 'unknown' });
  fact('SleepRequested', { sleepId: 'z2' });
  fact('SleepAttempted', { sleepId: 'z2' });
  fact('SleepVerified', {});
  fact('WakeRequested', {}, startMs + 1_000);
  fact('WakeAttempted', {}, startMs + 1_000);
  fact('ServerBecameHealthy', {}, startMs + 31_000);
  expect(s1()).toMatchObject({ lifecycle: 'ready', powerState: 'on', setupTimesMs: [30_000] });
  fact('ServerPoweredOn', {}, startMs + 32_000);
  expect(s1()?.powerInferred).toBeUndefined();
});
