import type { Chapter } from './chapter.ts';
import { csvText } from './csv.ts';
import { bucketOf, emptyBuckets } from './latencyBuckets.ts';
import type { ArmName } from './options.ts';
import { pageHtml } from './page.ts';
import { type RunResult, reportOf, reportText, savingsOf } from './report.ts';
import { armResult } from './result.ts';

const perProcess = (value: number) => ({
  proxy: value,
  planner: value,
  power: value,
  health: value,
  nats: value,
});

function chapterOf(arm: ArmName, chapter: number, watts: number, over: Partial<Chapter> = {}): Chapter {
  const buckets = emptyBuckets();
  buckets[bucketOf(20)] = 990;
  buckets[bucketOf(700)] = 10;
  return {
    version: 1,
    arm,
    seed: 1,
    chapter,
    fromSecond: chapter * 86_400,
    toSecond: (chapter + 1) * 86_400,
    segment: 'a',
    clockSeconds: 180,
    load: { requests: 1_000, failed: 0, late: 10, causes: {}, buckets, maxMs: 700 },
    maxSendLagMs: 3,
    trueWh: watts * 0.05,
    meteredWh: watts * 0.05 * 1.002,
    modelledWh: 0,
    parked: 4,
    short: 2,
    counts: { WakeRequested: 3, SleepVerified: 2 },
    servers: { 's1<script>': { wakes: 3, sleeps: 2, trueWh: watts * 0.05 } },
    cpuSeconds: perProcess(3.6),
    points: [0, 600].map((second) => ({
      second: chapter * 86_400 + second,
      rps: 100,
      capacityRps: 200,
      awake: 2,
      trueWatts: watts,
    })),
    footprints: [],
    faults: [],
    ...over,
  };
}

const two = (arm: ArmName, watts: number) =>
  armResult([chapterOf(arm, 0, watts), chapterOf(arm, 1, watts)], 480, 7.5);

const parameters = {
  trace: 'x.csv',
  firstDay: 0,
  seconds: 172_800,
  chapterSeconds: 86_400,
  speed: 480,
  servers: 1,
  seed: 1,
  peakShare: 0.6,
  setupSeconds: 260,
  faults: false,
};
const run = (seed: number, nemuriWatts: number): RunResult => {
  const arms = {
    alwaysOn: two('alwaysOn', 1_000),
    reactive: two('reactive', 600),
    nemuri: two('nemuri', nemuriWatts),
  };
  const optimum = { energyWh: 14_400, wakes: 2, stepSeconds: 600 };
  return {
    parameters: { ...parameters, seed },
    conditions: [],
    arms,
    optimum,
    seconds: 172_800,
    savings: savingsOf(arms, optimum),
  };
};

test('an arm adds its chapters up, in the time of the series', () => {
  const arm = two('nemuri', 400);
  expect(arm).toMatchObject({
    requests: 2_000,
    late: 20,
    parked: 8,
    wakes: 6,
    segments: 1,
    seconds: 172_800,
  });
  expect(arm.trueWh).toBeCloseTo(400 * 48, 6);
  expect(arm.ledgerErrorPercent).toBeCloseTo(0.2, 6);
  expect(arm.latencyMs.p50).toBeGreaterThanOrEqual(20);
  expect(arm.latencyMs.p50).toBeLessThan(23);
  // 5 processes of 3.6 s in 180 s: a tenth of a core, at 7.5 W for two days.
  expect(arm.controlCores).toBeCloseTo(0.1, 6);
  expect(arm.controlWh).toBeCloseTo(0.1 * 7.5 * 48, 6);
});

test('the saving counts the control plane as used, and compares with the optimum', () => {
  const savings = savingsOf(run(1, 400).arms, { energyWh: 14_400 });
  expect(savings?.nemuri).toBeCloseTo((1 - (400 + 0.75) / 1_000) * 100, 6);
  expect(savings?.optimum).toBeCloseTo(70, 6);
  expect(savings?.ofOptimum).toBeCloseTo(((1 - 0.400_75) / 0.7) * 100, 6);
  expect(savingsOf({}, { energyWh: 1 })).toBeUndefined();
});

test('seeds make an interval; runs with faults are not in it', () => {
  const faulty = { ...run(3, 900), parameters: { ...parameters, seed: 3, faults: true } };
  const { savedPercent } = reportOf([run(1, 400), run(2, 420), faulty]);
  expect(savedPercent?.values).toHaveLength(2);
  expect(savedPercent?.halfWidth).toBeGreaterThan(0);
});

test('what does not hold is said', () => {
  const report = reportOf([{ ...run(1, 900), seconds: 14 * 86_400 }]);
  const broken = report.checks.filter(({ holds }) => !holds).map(({ rule }) => rule);
  expect(broken).toEqual(['late ≤ 0.1 %', 'saves ≥ 85 % of what the optimum saves']);
  expect(reportText(report)).toContain('DOES NOT HOLD');
});

test('the page stands alone, in both languages, and takes no name for markup', () => {
  const html = pageHtml(reportOf([run(1, 400), run(2, 410)]), []);
  expect(html).not.toMatch(/(src|href)=|https?:\/\/(?!www\.w3\.org\/2000\/svg)|url\(/);
  expect(html).toContain('lang="ja"');
  expect(html).toContain('の電力量を削減');
  expect(html).toContain('95 % interval over 2 seeds');
  expect(html).not.toContain('s1<script>');
  expect(html).not.toMatch(/\{\w+\}(?![^<]*<\/style>)/);
  expect(html).not.toMatch(/NaN|undefined|Infinity/);
});

test('the CSV has a row a point', () => {
  const rows = csvText([run(1, 400)])
    .trim()
    .split('\n');
  expect(rows).toHaveLength(1 + 3 * 4);
  expect(rows[1]).toBe('1,false,alwaysOn,0,100,200,2,1000');
});

test('a series too short to learn from is judged more mildly', () => {
  const short = reportOf([{ ...run(1, 900), seconds: 4 * 3_600 }]);
  expect(short.checks.map(({ rule }) => rule)).toContain('late ≤ 0.5 %');
  expect(short.checks.map(({ rule }) => rule).join()).not.toContain('optimum');
});
