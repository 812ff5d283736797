import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { plotSeriesOf, summaryOf, type TraceOutcome } from './plannerReport.ts';

const run = promisify(execFile);
const root = join(__dirname, '../..');

let plots: string;
beforeEach(async () => {
  plots = await mkdtemp(join(tmpdir(), 'nemuri-bench-'));
});
afterEach(() => rm(plots, { recursive: true }));

test('benches the rivals on a series: tables, a plot, JSON on the last line', async () => {
  const trace = 'lab/traces/wc98_1998-06-26T1330_4h_1s.csv';
  const args = ['--quick', '--late', '0.001', '--trace', trace, '--jobs', '1', '--plots', plots];
  const { stdout, stderr } = await run(process.execPath, [join(root, 'dist/lab/bench/planner.js'), ...args], {
    cwd: root,
  });
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as {
    traces: Record<string, { policy: string; setting: string; lateFraction: number; vsOptimal: number }[]>;
  };
  const rows = report.traces['wc98_1998-06-26T1330_4h_1s'] ?? [];
  const tuned = rows.filter(({ setting }) => setting === 'in hindsight');
  expect(tuned.map(({ policy }) => policy)).toEqual(expect.arrayContaining(['autoscale', 'kpa', 'peakHold']));
  for (const { lateFraction, vsOptimal } of tuned) {
    expect(lateFraction).toBeLessThanOrEqual(0.001);
    expect(vsOptimal).toBeGreaterThan(1);
  }
  expect(rows[0]).toMatchObject({ policy: 'optimal', vsOptimal: 1 });
  expect(stderr).toContain('| peakHold | in hindsight |');
  expect(await readdir(plots)).toEqual(['wc98_1998-06-26T1330_4h_1s.svg']);
});

const figures = {
  vsOptimal: 1.2,
  vsAlwaysOn: 0.5,
  lateFraction: 0,
  refusedFraction: 0,
  cyclesPerServerDay: 1,
};
const setting = (energyWh: number) => ({ parameters: {}, figures: { ...figures, energyWh } });
const own = (name: string, energyWh: number) => ({
  policy: 'nemuri',
  setting: name,
  ...figures,
  energyWh,
  decideMicros: { p50: 1, p99: 2 },
  simulatedSecondsPerSecond: 1,
});

test('the planner is held against the best rival in hindsight, never against a published setting', () => {
  const outcome: TraceOutcome = {
    trace: 'a',
    rows: [own('default', 110), own('risk 0.01', 90), own('wake failure 0.05', 130)],
    rivals: {
      kpa: { published: setting(50), best: setting(100), frontier: [setting(100)], runs: 2 },
      lcp: { published: setting(60), best: setting(120), frontier: [], runs: 2 },
      reactive: { published: setting(40), best: undefined, frontier: [], runs: 1 },
    },
  };
  expect(summaryOf(outcome)).toEqual({ vsOptimal: 1.2, lateness: 0, bestRival: 'kpa', vsBestRival: 1.1 });
  const [nemuri, kpa] = plotSeriesOf(outcome);
  expect(nemuri?.points.map(({ label }) => label)).toEqual(['default', 'risk 0.01']);
  expect(kpa?.points).toHaveLength(1);
});
