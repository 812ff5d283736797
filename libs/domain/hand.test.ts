import type { Fleet } from './fleet.ts';
import { failedItsDrill, orderNow } from './hand.ts';
import { planPower } from './powerControl.ts';
import type { ServerState } from './server.ts';
import {
  asleepState,
  fleetConfig,
  minuteMs,
  readyState,
  type Script,
  scriptedFleet,
  startMs,
  viewOf,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';

const dayMs = 86_400_000;
const nowMs = startMs + 40 * minuteMs;
const asleep: Partial<ServerState> = { ...asleepState, sinceMs: startMs };

function plan(
  states: Readonly<Record<string, Partial<ServerState>>>,
  target: string[],
  setup: object = {},
  script: Script = scriptedFleet(fleetConfig({ servers: Object.keys(states).length, ...setup })),
) {
  const fleet = withDecision(withServers(script.fleet, states), target, nowMs);
  return planPower({ fleet, liveness: witnesses(nowMs), nowMs });
}
const order = (wants: 'awake' | 'asleep', untilMs = nowMs + 1) => ({
  order: { wants, untilMs, reason: 'firmware', by: 'ada' },
});

describe('the operator’s orders', () => {
  test('awake: woken although nobody needs it, kept although nobody wants it, until the order ends', () => {
    expect(plan({ s1: { ...asleep, ...order('awake') }, s2: readyState }, ['s2'])).toMatchObject([
      { kind: 'requestWake', server: 's1', reason: 'ada ordered it: firmware' },
    ]);
    expect(plan({ s1: { ...readyState, ...order('awake') }, s2: readyState }, ['s2'])).toEqual([]);
    expect(plan({ s1: { ...readyState, ...order('awake', nowMs) }, s2: readyState }, ['s2'])).toMatchObject([
      { kind: 'requestSleep', server: 's1' },
    ]);
  });

  test('asleep: put to sleep although the decision wants it, but never below the floor', () => {
    expect(plan({ s1: { ...readyState, ...order('asleep') }, s2: readyState }, ['s1', 's2'])).toMatchObject([
      { kind: 'requestSleep', server: 's1' },
    ]);
    const pool = { minServers: 2 };
    expect(
      plan({ s1: { ...readyState, ...order('asleep') }, s2: readyState }, ['s1', 's2'], { pool }),
    ).toEqual([]);
  });

  test('are folded from their events, the later replacing the earlier', () => {
    const { fleet, fact } = scriptedFleet();
    const now = () => orderNow(viewOf(fleet, 's1').state, startMs)?.wants;
    fact('WakeOrdered', {});
    expect(now()).toBe('awake');
    fact('SleepOrdered', {});
    expect(now()).toBe('asleep');
    expect(orderNow(viewOf(fleet, 's1').state, startMs + 60 * minuteMs)).toBeUndefined();
  });
});

describe('a cordon for a time', () => {
  const cordon = { untilMs: nowMs, reason: 'new fan', by: 'ada' };
  const cordoned = { cordoned: true, cordon };

  test('leaves the server alone until its time is over, then gives it back, whatever its state', () => {
    const early = { ...cordoned, cordon: { ...cordon, untilMs: nowMs + 1 } };
    for (const state of [readyState, asleep, { lifecycle: 'quarantined' } as const]) {
      expect(plan({ s1: { ...state, ...early }, s2: readyState }, ['s2'])).toEqual([]);
      expect(plan({ s1: { ...state, ...cordoned }, s2: readyState }, ['s2'])).toEqual([
        { kind: 'endCordon', server: 's1', untilMs: nowMs },
      ]);
    }
    const { untilMs: _open, ...open } = cordon;
    expect(plan({ s1: { ...asleep, cordoned: true, cordon: open }, s2: readyState }, ['s1', 's2'])).toEqual(
      [],
    );
  });

  test('also where it has no power method', () => {
    const config = fleetConfig({ servers: 1 });
    const { s1 } = config.servers;
    const script = scriptedFleet({ ...config, servers: s1 ? { s1: { ...s1, power: [] } } : {} });
    expect(plan({ s1: { ...readyState, ...cordoned } }, ['s1'], {}, script)).toMatchObject([
      { kind: 'endCordon' },
    ]);
  });

  test('is folded from its events: a later one replaces it, and is not ended in its place', () => {
    const { fleet, fact } = scriptedFleet();
    const now = () => viewOf(fleet, 's1').state;
    fact('ServerCordoned', cordon);
    expect(now()).toMatchObject({ cordoned: true, cordon });
    fact('ServerCordoned', { ...cordon, untilMs: nowMs + minuteMs });
    fact('CordonExpired', { untilMs: nowMs });
    expect([now().cordoned, now().cordon?.untilMs]).toEqual([true, nowMs + minuteMs]);
    fact('CordonExpired', { untilMs: nowMs + minuteMs });
    expect([now().cordoned, now().cordon]).toEqual([false, undefined]);
    fact('ServerCordoned', cordon);
    fact('ServerUncordoned', {});
    fact('CordonExpired', { untilMs: nowMs });
    expect([now().cordoned, now().cordon]).toEqual([false, undefined]);
  });
});

describe('fire drills', () => {
  const setup = { pool: { drill: { afterAsleepMs: 30 * minuteMs } } };

  test('are off until asked for', () => {
    expect(plan({ s1: asleep, s2: readyState }, ['s2'])).toEqual([]);
    const drills = { passed: 0, failed: 0, requested: { untilMs: nowMs + 1, reason: 'before winter' } };
    expect(plan({ s1: { ...asleep, drills }, s2: readyState }, ['s2'])).toEqual([
      { kind: 'startDrill', server: 's1', asleepForMs: 40 * minuteMs, reason: 'before winter' },
    ]);
    const late = { ...drills, requested: { untilMs: nowMs, reason: 'before winter' } };
    expect(plan({ s1: { ...asleep, drills: late }, s2: readyState }, ['s2'])).toEqual([]);
  });

  test('come by the schedule to the long asleep, one of a pool at a time, and not twice in a period', () => {
    expect(plan({ s1: asleep, s2: asleep, s3: readyState }, ['s3'], setup)).toMatchObject([
      { kind: 'startDrill', server: 's1' },
    ]);
    const lately = { passed: 0, failed: 1, failedAtMs: nowMs - minuteMs, lastAtMs: nowMs - minuteMs };
    expect(plan({ s1: { ...asleep, drills: lately }, s2: readyState }, ['s2'], setup)).toEqual([]);
  });

  /** The drill of s1 as it goes through the fold, with what the plan says at each step. */
  function drill(): { script: Script; next: (fleet?: Fleet) => (string | undefined)[] } {
    const script = scriptedFleet(fleetConfig({ servers: 2 }));
    script.fact('ServerPoweredOff', {});
    script.fact('SleepVerified', {});
    script.fact('DrillRequested', { untilMs: nowMs + dayMs });
    script.fact('DrillStarted', {}, nowMs);
    const next = () => {
      const fleet = withDecision(withServers(script.fleet, { s2: readyState }), ['s2'], nowMs);
      return planPower({ fleet, liveness: witnesses(nowMs), nowMs }).map(({ kind }) => kind);
    };
    return { script, next };
  }

  test('wake, verify and put back', () => {
    const { script, next } = drill();
    expect(next()).toEqual(['requestWake']);
    script.fact('WakeRequested', {}, nowMs);
    script.fact('WakeAttempted', {}, nowMs);
    script.fact('ServerPoweredOn', {}, nowMs);
    expect(next()).toEqual([]);
    script.fact('ServerBecameHealthy', {}, nowMs - 10 * minuteMs);
    expect(next()).toEqual(['passDrill']);
    script.fact('DrillPassed', {}, nowMs);
    expect(script.fleet.servers.s1?.drills).toEqual({ passed: 1, failed: 0, lastAtMs: nowMs });
    expect(next()).toEqual(['requestSleep']);
  });

  test('one that fails is no capacity until it has served', () => {
    const { script, next } = drill();
    script.fact('WakeRequested', {}, nowMs);
    script.fact('WakeTimedOut', {}, nowMs);
    expect(next()).toEqual(['failDrill']);
    script.fact('DrillFailed', {}, nowMs);
    expect(failedItsDrill(viewOf(script.fleet, 's1').state)).toBe(true);
    expect(next()).toEqual(['quarantine']);
    script.fact('ServerQuarantined', {}, nowMs);
    script.fact('ServerPoweredOn', {}, nowMs);
    script.fact('ServerBecameHealthy', {}, nowMs);
    expect(script.fleet.servers.s1).toMatchObject({ lifecycle: 'ready', drills: { passed: 0, failed: 1 } });
    expect(failedItsDrill(viewOf(script.fleet, 's1').state)).toBe(false);
  });
});
