import type { Fleet } from './fleet.ts';
import { planPower } from './powerControl.ts';
import type { ServerState, SleepInProgress } from './server.ts';
import { powerRefusals } from './sleepPlan.ts';
import {
  fleetConfig,
  minuteMs,
  readyState,
  scriptedFleet,
  startMs,
  viewOf,
  withDecision,
  withServers,
  witnesses,
} from './testing/builders.ts';

const nowMs = startMs + 60 * minuteMs;
const hung: Partial<ServerState> = {
  ...readyState,
  health: 'unhealthy',
  unhealthySinceMs: nowMs - 300_000,
};

/** A pool of one hung box, which the floor and the decision want awake. */
function alone(s1: Partial<ServerState> = hung, setup: Parameters<typeof fleetConfig>[0] = {}): Fleet {
  const { fleet } = scriptedFleet(fleetConfig({ servers: 1, ...setup }));
  return withDecision(withServers(fleet, { s1 }), ['s1'], nowMs);
}
const plan = (fleet: Fleet, liveness = witnesses(nowMs)) => planPower({ fleet, liveness, nowMs });
const mending: SleepInProgress = {
  sleepId: 'z1',
  requestedAtMs: nowMs,
  reason: 'test',
  attempt: 0,
  attemptedAtMs: nowMs,
  attemptFailed: false,
  forced: false,
  mend: true,
  proxies: { p1: 'drained' },
};

test('a pool of one hung box does not wait for the operator: it is power-cycled', () => {
  expect(plan(alone())).toMatchObject([{ kind: 'requestSleep', server: 's1', mend: true }]);
});

test.each<[string, Fleet]>([
  ['sick for too short', alone({ ...hung, unhealthySinceMs: nowMs - 299_999 })],
  ['healthy', alone(readyState)],
  ['cordoned', alone({ ...hung, cordoned: true })],
  ['of unknown power', alone({ ...hung, powerState: 'unknown' })],
  ['cycled often enough today', alone({ ...hung, mendedAtMs: [nowMs - 1, nowMs - 2, nowMs - 3] })],
  ['never to be cycled', alone(hung, { bounds: { maxMendsPerDay: 0 } })],
])('not one that is %s', (_what, fleet) => {
  expect(plan(fleet)).toEqual([]);
});

test('not without a live proxy and a live health service', () => {
  expect(plan(alone(), { ...witnesses(nowMs), healthSeenMs: nowMs - 10_001 })).toEqual([]);
  expect(plan(alone(), { ...witnesses(nowMs), proxies: {} })).toEqual([]);
});

test('one server of a pool at a time', () => {
  const { fleet } = scriptedFleet(fleetConfig({ servers: 2 }));
  const both = withDecision(withServers(fleet, { s1: hung, s2: hung }), ['s1', 's2'], nowMs);
  expect(plan(both)).toMatchObject([{ server: 's1' }]);
  const s1 = { ...hung, lifecycle: 'draining', sleep: mending } as const;
  expect(plan(withServers(both, { s1 })).filter(({ server }) => server === 's2')).toEqual([]);
});

test('its drain goes on although it is wanted, and ends when it serves again', () => {
  const draining = { ...hung, lifecycle: 'draining', mendedAtMs: [nowMs], sleep: mending } as const;
  expect(plan(alone(draining))).toMatchObject([{ kind: 'attemptSleep', attempt: 1, forced: false }]);
  const fleet = alone(draining);
  expect(powerRefusals({ fleet, liveness: witnesses(nowMs), nowMs }, viewOf(fleet, 's1'))).toEqual([]);
  expect(plan(alone({ ...draining, health: 'healthy' }))).toMatchObject([
    { kind: 'cancelSleep', reason: 'it is healthy' },
  ]);
});

test('is forced off only where that is allowed, then woken', () => {
  const sleep = { ...mending, attempt: 1, attemptedAtMs: nowMs - 180_000 };
  const stopping = { ...hung, lifecycle: 'stopping', mendedAtMs: [nowMs], sleep } as const;
  expect(plan(alone(stopping))).toMatchObject([{ kind: 'attemptSleep', forced: false }]);
  expect(plan(alone(stopping, { method: { allowForceOff: true } }))).toMatchObject([
    { kind: 'attemptSleep', forced: true },
  ]);
  expect(plan(alone({ ...stopping, powerState: 'off' }))).toMatchObject([{ kind: 'requestWake' }]);
});

describe('behind an agent or an ssh that hangs with the machine', () => {
  const redfish = {
    driver: 'redfish',
    url: 'https://bmc.test',
    username: 'nemuri',
    password: 'env:P',
    allowForceOff: true,
  };
  const pdu = { driver: 'pdu', host: 'pdu', community: 'env:P', outletOid: '1.3.6', allowSleep: true };
  const agent = { driver: 'agent' };
  const ssh = {
    driver: 'ssh',
    host: 'h',
    username: 'u',
    keyFile: '/k',
    knownHostsFile: '/k',
    sleepCommand: 'off',
  };
  const steps = (power: readonly object[], of: Partial<SleepInProgress> = mending) => {
    const told: string[] = [];
    for (let attempt = 1; attempt < 10; attempt += 1) {
      const begun = { attempt, attemptFailed: true, attemptedAtMs: nowMs - 60 * minuteMs };
      const sleep = { ...mending, mend: false, ...of, ...begun };
      const stopping = { ...hung, lifecycle: 'stopping', mendedAtMs: [nowMs], sleep } as const;
      const fleet = alone(stopping, { server: { power } });
      const [action] = plan(sleep.mend ? fleet : withDecision(fleet, [], nowMs));
      if (action?.kind !== 'attemptSleep') return [...told, action?.kind];
      told.push(`${action.rung}${action.forced ? ' forced' : ''}`);
    }
    return told;
  };

  test.each<[string, readonly object[], (string | undefined)[]]>([
    ['a BMC is asked, then cuts', [agent, redfish], ['1', '1 forced', 'cancelSleep']],
    [
      'what may not be forced is asked only',
      [ssh, { ...redfish, allowForceOff: false }],
      ['1', '1', 'cancelSleep'],
    ],
    [
      'an outlet is cut last',
      [agent, ssh, redfish, { ...pdu, allowForceOff: true }],
      ['1', '2', '2 forced', '3 forced', 'cancelSleep'],
    ],
    [
      'an outlet is not cut where that is not allowed',
      [agent, redfish, pdu],
      ['1', '1 forced', 'cancelSleep'],
    ],
    ['an outlet alone is all there is', [pdu], ['0', '0', 'cancelSleep']],
  ])('%s', (_what, power, expected) => {
    expect(steps(power)).toEqual(expected);
  });

  test('one that nobody wants, and that was not healthy, sleeps by the same steps; a healthy one only by the first', () => {
    expect(steps([agent, redfish], { ofSick: true })).toEqual(['1', '1 forced', 'cancelSleep']);
    expect(steps([agent, redfish], {})).toEqual(['0', '0', 'cancelSleep']);
  });

  test.each([
    ['unhealthy', true],
    ['unknown', true],
    ['healthy', undefined],
  ] as const)('the fold keeps whether it was sick when its sleep was asked for: %s', (health, ofSick) => {
    const { fleet, fact } = scriptedFleet();
    fact('ServerPoweredOn', {});
    if (health !== 'unknown') fact('ServerBecameHealthy', {});
    if (health === 'unhealthy') fact('ServerBecameUnhealthy', {});
    fact('SleepRequested', { sleepId: 'z1' });
    expect(fleet.servers.s1?.sleep?.ofSick).toBe(ofSick);
  });
});

test('one whose wake failed although it is on is cycled when its quarantine is over, and woken when it may not be', () => {
  const quarantined = {
    ...hung,
    lifecycle: 'quarantined',
    failedWakes: 1,
    quarantinedUntilMs: nowMs,
  } as const;
  expect(plan(alone(quarantined))).toMatchObject([{ kind: 'requestSleep', mend: true }]);
  expect(plan(alone({ ...quarantined, quarantinedUntilMs: nowMs + 1 }))).toEqual([]);
  const often = { mendedAtMs: [nowMs - 1, nowMs - 2, nowMs - 3] };
  expect(plan(alone({ ...quarantined, ...often }))).toMatchObject([{ kind: 'requestWake' }]);
});

test('the fold counts power cycles and since when a server is unhealthy', () => {
  const { fleet, fact } = scriptedFleet();
  fact('ServerPoweredOn', {});
  fact('ServerBecameHealthy', {});
  fact('ServerBecameUnhealthy', {}, startMs + 5);
  fact('ServerBecameUnhealthy', {}, startMs + 9);
  expect(fleet.servers.s1?.unhealthySinceMs).toBe(startMs + 5);
  fact('SleepRequested', { mend: true }, startMs + 10);
  expect(fleet.servers.s1).toMatchObject({ mendedAtMs: [startMs + 10], sleep: { mend: true } });
  fact('ServerBecameHealthy', {}, startMs + 11);
  expect(fleet.servers.s1?.unhealthySinceMs).toBeUndefined();
});
