import { isEventType } from '../events/mod.ts';
import { judge, type Observation, observations, type Verdict, verdicts } from './truth.ts';

const all = [...observations()].map((seen) => ({ seen, verdict: judge(seen) }));
type Judged = (typeof all)[number];

/** Holds for every observation that fits; one that fits none proves nothing. */
function always(fits: (seen: Observation) => boolean, holds: (judged: Judged) => boolean): void {
  const fitting = all.filter(({ seen }) => fits(seen));
  expect(fitting.length).toBeGreaterThan(0);
  expect(fitting.filter((judged) => !holds(judged))).toEqual([]);
}

const alive = ({ probe, heartbeat }: Observation) =>
  probe === 'good' || probe === 'bad' || heartbeat === 'speaks' || heartbeat === 'rebooted';
const shouldServe = ({ lifecycle }: Observation) => lifecycle === 'ready' || lifecycle === 'draining';

test('every combination is judged: 7 × 5 × 4 × 4 × 4', () => {
  expect(all).toHaveLength(2_240);
  expect(new Set(all.map(({ seen }) => JSON.stringify(seen))).size).toBe(2_240);
  for (const { verdict } of all) if (verdict.event) expect(isEventType(verdict.event)).toBe(true);
});

describe('rules that never bend', () => {
  test('the hardware is right: what it says is off is never believed to serve, nor gets requests', () =>
    always(
      ({ power }) => power === 'off',
      ({ verdict }) => verdict.belief !== 'serves' && verdict.action !== 'serve' && verdict.action !== 'keep',
    ));
  test('off and alive is always a contradiction', () =>
    always(
      (seen) => seen.power === 'off' && alive(seen),
      ({ verdict }) => verdict.contradiction === 'lyingBmc' || verdict.contradiction === 'zombie',
    ));
  test('no healthy server is left unused', () =>
    always(
      (seen) =>
        shouldServe(seen) &&
        seen.power !== 'off' &&
        seen.heartbeat !== 'rebooted' &&
        seen.probe === 'good' &&
        seen.traffic !== 'failing',
      ({ verdict }) => verdict.action === 'serve' || verdict.action === 'keep',
    ));
  test('no dead one is used', () =>
    always(
      (seen) =>
        !alive(seen) && seen.probe === 'silent' && seen.traffic !== 'good' && seen.traffic !== 'split',
      ({ verdict }) => verdict.action !== 'serve' && verdict.action !== 'keep' && verdict.belief !== 'serves',
    ));
  test('a sleep is proven only by hardware off, silence and a probe', () =>
    always(
      () => true,
      ({ seen, verdict }) =>
        verdict.event !== 'SleepVerified' ||
        (seen.power === 'off' && seen.probe === 'silent' && !alive(seen) && seen.lifecycle === 'stopping'),
    ));
  test('what serves for nobody gets nothing, what nobody asked for is never used', () =>
    always(
      ({ lifecycle }) => lifecycle === 'asleep' || lifecycle === 'stopping',
      ({ verdict }) => verdict.action !== 'serve' && verdict.action !== 'keep',
    ));
  test('a contradiction is never silent, and has a verdict for the end of its time', () =>
    always(
      () => true,
      ({ verdict: { contradiction, event } }) =>
        contradiction === undefined || (event !== undefined && verdicts[contradiction].length > 0),
    ));
});

const usual: Observation = {
  lifecycle: 'ready',
  power: 'on',
  heartbeat: 'speaks',
  probe: 'good',
  traffic: 'good',
};

test.each<[string, Partial<Observation>, Partial<Verdict>]>([
  ['all is well', {}, { belief: 'serves', action: 'serve' }],
  ['zombie: asleep and it speaks', { lifecycle: 'asleep', power: 'unknown' }, { contradiction: 'zombie' }],
  [
    'zombie: off by its hardware, and it answers',
    { lifecycle: 'stopping', power: 'off' },
    { contradiction: 'zombie' },
  ],
  [
    'ghost: on and silent',
    { heartbeat: 'silent', probe: 'silent', traffic: 'idle' },
    { contradiction: 'ghost', action: 'withhold' },
  ],
  ['reboot', { heartbeat: 'rebooted' }, { event: 'ServerRebooted', action: 'warmUp' }],
  [
    'half-dead: answers, and not what was asked',
    { probe: 'bad' },
    { contradiction: 'halfDead', action: 'withhold' },
  ],
  [
    'half-dead: speaks, and its port is dead',
    { probe: 'silent', traffic: 'failing' },
    { contradiction: 'halfDead', action: 'withhold' },
  ],
  ['lying BMC', { power: 'off' }, { contradiction: 'lyingBmc', action: 'withhold' }],
  ['split view: one proxy can not', { traffic: 'split' }, { contradiction: 'splitView', action: 'keep' }],
  ['split view: the prober can not', { probe: 'silent' }, { contradiction: 'splitView', action: 'keep' }],
  ['mute', { heartbeat: 'silent' }, { belief: 'serves', event: 'HeartbeatLost', action: 'serve' }],
  [
    'drift: asleep and on',
    { lifecycle: 'asleep', probe: 'none' },
    { event: 'PowerDriftDetected', action: 'warmUp' },
  ],
  [
    'booting',
    { lifecycle: 'waking', probe: 'silent', heartbeat: 'silent' },
    { belief: 'unclear', action: 'wait' },
  ],
  ['booted', { lifecycle: 'waking' }, { event: 'ServerBecameHealthy', action: 'serve' }],
])('%s', (_what, change, expected) => expect(judge({ ...usual, ...change })).toMatchObject(expected));
