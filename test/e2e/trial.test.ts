import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TrialReport } from '../../lab/trial/report.ts';

const main = resolve('dist/lab/trial/main.js');
const out = mkdtempSync(join(tmpdir(), 'nemuri-trial-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

/** Ends by itself, or at the latest with the test's own time. */
function trial(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, '--out', out, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGTERM'), 170_000);
  return new Promise((done) =>
    child.once('close', (code) => {
      clearTimeout(timer);
      done({ code, ...said });
    }),
  );
}

const parameters = ['--days', '0.05', '--speed', '480', '--servers', '3', '--seed', '7', '--faults'];

test('an hour of the experiment, three arms on real processes, with accidents, ends with a report', async () => {
  const { code, stdout, stderr } = await trial([...parameters, '--json']);
  expect(`${code} ${code === 0 ? '' : stderr}`).toBe('0 ');
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as TrialReport;
  const [run] = report.runs;
  expect(Object.keys(run?.arms ?? {})).toEqual(['alwaysOn', 'reactive', 'nemuri']);
  const requests = Object.values(run?.arms ?? {}).map((arm) => arm.requests);
  expect(new Set(requests).size).toBe(1);
  expect(requests[0]).toBeGreaterThan(100);
  for (const arm of Object.values(run?.arms ?? {})) {
    expect(arm.failed).toBe(0);
    expect(arm.trueWh ?? 0).toBeGreaterThan(0);
    expect(Math.abs(arm.ledgerErrorPercent ?? Number.NaN)).toBeLessThan(10);
    expect(arm.controlCores).toBeGreaterThan(0);
  }
  expect(run?.arms.nemuri?.faults.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['bus', 'crash']));
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('lang="ja"');
  expect(readFileSync(join(out, 'points.csv'), 'utf8')).toContain('7,true,nemuri,');
}, 180_000);

test('called again it has nothing left to do; with other parameters it refuses the folder', async () => {
  const again = await trial(parameters);
  expect([again.code, again.stderr]).toEqual([0, expect.not.stringContaining('is ready')]);
  const other = await trial([...parameters, '--servers', '4']);
  expect([other.code, other.stderr]).toEqual([
    1,
    expect.stringContaining('holds a run with other parameters'),
  ]);
}, 60_000);
