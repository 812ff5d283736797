import { brokenMusts, chaosReport, type Findings } from './report.ts';

const findings: Findings = {
  seed: 1,
  minutes: 1,
  load: {
    requests: 100,
    failed: 0,
    causes: {},
    latencyMs: { p50: 1, p95: 2, p99: 3, max: 4 },
    maxSendLagMs: 0,
  },
  clients: {
    failures: [],
    unavoidable: { killedProxy: 2, killedServer: 1 },
    wentElsewhere: 3,
    stalledClient: 0,
    longestStallMs: 0,
  },
  commands: [{ atMs: 1, server: 's1', resetType: 'On', before: 'off', inFlight: 0 }],
  wrong: [],
  diverged: [],
  accidents: [100, 300, 200].map((recoveredMs) => ({
    atMs: 1,
    kind: 'crash',
    target: 's1',
    outageMs: 40,
    recoveredMs,
  })),
  absences: [],
};
const absence = {
  gone: 'bus',
  seconds: 15,
  noSleep: { fromMs: 0, toMs: 1, why: 'there is no bus' },
  servingAtEnd: 1,
  floor: 1,
  recoveredMs: 500,
};

test('what a killed proxy or server cost is told apart and breaks nothing', () => {
  const report = chaosReport({ ...findings, absences: [absence] });
  expect(report).toMatchObject({ failed: 0, unavoidable: { killedProxy: 2, killedServer: 1 } });
  expect(report.recovery).toEqual({
    crash: { count: 3, p50Ms: 200, maxMs: 300, outageP50Ms: 40, outageMaxMs: 40 },
  });
  expect(brokenMusts(report)).toEqual([]);
});

const broken: [RegExp, Partial<Findings>][] = [
  [/no request/, { load: { ...findings.load, requests: 0 } }],
  [
    /1 requests failed: .*status 502/,
    { load: { ...findings.load, failed: 1, causes: { 'GET: status 502': 1 } } },
  ],
  [/wrong power action on s1, double/, { wrong: [{ atMs: 1, server: 's1', rule: 'double', what: 'two' }] }],
  [/diverged: s1/, { diverged: ['s1 is not what it is'] }],
  [
    /not recovered: crash of s2/,
    { accidents: [{ atMs: 1, kind: 'crash', target: 's2', outageMs: 0, recoveredMs: null }] },
  ],
  [/not recovered from the absence of bus/, { absences: [{ ...absence, recoveredMs: null }] }],
  [/0 servers served without bus, floor 1/, { absences: [{ ...absence, servingAtEnd: 0 }] }],
];
test.each(broken)('a broken must is named: %s', (words, given) => {
  const [only, ...more] = brokenMusts(chaosReport({ ...findings, ...given }));
  expect(only).toMatch(words);
  expect(more).toEqual([]);
});
