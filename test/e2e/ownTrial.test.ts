import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { familyOf } from '../../lab/bench/processes.ts';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { type Rack, startRack } from '../../lab/rack/rack.ts';
import type { TrialReport } from '../../lab/trial/report.ts';

/**
 * `nemuri trial -c FILE` as its user calls it, on machines that it knows by their file and their BMCs alone. They are a
 * virtual rack, so that here, and only here, the truth can be looked at. Needs `npm run build`.
 */
const nemuri = resolve('dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'nemuri-own-'));
const configFile = join(folder, 'nemuri.yaml');
const children = new Set<ChildProcess>();
let rack: Rack;

beforeAll(async () => {
  rack = await startRack({
    servers: 3,
    defaults: { workers: 4, serviceTimeMs: 32 },
    setupTimeMs: 1_000,
    poweringOnMs: 200,
    shutdownMs: 200,
    startAhead: true,
    directory: folder,
    originScript: resolve('dist/lab/rack/origin.js'),
  });
  const passwordFile = join(folder, 'bmc-password');
  writeFileSync(passwordFile, rack.password);
  const config = rackConfig(rack, {
    password: `file:${passwordFile}`,
    poolSettings: {
      drainTimeoutMs: 3_000,
      healthCheck: { probe: { kind: 'http', path: '/healthz' }, fastIntervalMs: 50 },
      planner: { minAwakeMs: 0, decideIntervalMs: 500 },
    },
    bounds: { meterIntervalMs: 300, reconcileIntervalMs: 300 },
  });
  writeFileSync(configFile, rackConfigYaml(config));
}, 60_000);

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rack.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onSaid told all that it has said so far, each time it says more. */
function trial(
  args: readonly string[],
  onSaid: (stderr: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [nemuri, 'trial', '-c', configFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (piece) => {
    said.stdout += piece;
  });
  child.stderr.on('data', (piece) => {
    said.stderr += piece;
    onSaid(said.stderr, child);
  });
  return new Promise((done) => child.once('close', (code) => done({ code, ...said })));
}

const states = () => rack.servers.map(({ name }) => rack.status(name).state);
const awake = ['serving', 'serving', 'serving'];
const commands = () => rack.powerCommands().length;
/** A quarter of an hour of the series, which is the least; 7 s. */
const quick = ['--days', '0.01', '--speed', '120', '--peak-share', '0.3'];

test('the plan switches nothing', async () => {
  const plan = await trial([...quick, '--dry-run']);
  expect([plan.code, plan.stderr]).toEqual([0, '']);
  expect(plan.stdout).toContain('server-2: 100 requests/s; sleeps by redfish; wakes by redfish');
  expect(plan.stdout).toContain('7 s at --speed 120');
  const json = await trial([...quick, '--dry-run', '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({ pool: 'web', armSeconds: 7, minServers: 1, warnings: [] });
  const unasked = await trial([...quick, '--out', join(folder, 'none')]);
  expect([unasked.code, unasked.stderr]).toEqual([1, expect.stringContaining('give --yes')]);
  expect([commands(), existsSync(join(folder, 'none'))]).toEqual([0, false]);
}, 60_000);

test('what can not be tried is named with key, rule and value', async () => {
  const said = async (...args: string[]) => (await trial([...quick, '--dry-run', ...args])).stderr;
  expect(await said('--pool', 'shop')).toContain(
    '--pool must be one of the pools of the configuration: web (got "shop")',
  );
  expect(await said('--faults')).toContain('--faults must be given without -c');
}, 60_000);

test('three arms one after the other, energy by the ledger and nothing else, every server awake at the end', async () => {
  const out = join(folder, 'whole');
  const { code, stdout, stderr } = await trial([...quick, '--yes', '--json', '--out', out]);
  expect(`${code} ${code === 0 ? '' : stderr}`).toBe('0 ');
  expect(states()).toEqual(awake);
  expect(stderr.match(/every server is awake again/g)).toHaveLength(3);
  const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as TrialReport;
  expect(JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))).toEqual(report);
  const [run] = report.runs;
  const arms = run?.arms ?? {};
  expect(Object.keys(arms)).toEqual(['alwaysOn', 'reactive', 'nemuri']);
  for (const arm of Object.values(arms)) {
    expect(arm).toMatchObject({ failed: 0, modelledWh: 0, requests: arms.alwaysOn?.requests });
    expect(arm.requests).toBeGreaterThan(50);
    expect(arm.meteredWh).toBeGreaterThan(0);
    // Meters of 2 %, as the configuration says by default.
    expect(arm.errorWh).toBeCloseTo(arm.meteredWh * 0.02, 6);
    const [server] = Object.values(arm.servers);
    for (const one of [arm, server, ...arm.points]) {
      expect(Object.keys(one ?? {}).filter((key) => /true|ledgerError/.test(key))).toEqual([]);
    }
  }
  // Three idle machines draw at least 420 W: the ledger's always-on hours can't have less, nor more than busy ones.
  const watts = ((arms.alwaysOn?.meteredWh ?? 0) * 3_600) / (arms.alwaysOn?.clockSeconds ?? 1);
  expect(watts).toBeGreaterThan(400);
  expect(watts).toBeLessThan(620);
  expect(arms.nemuri?.sleeps).toBeGreaterThan(0);
  expect(run?.savings?.nemuri).toBeGreaterThan(0);
  expect(run?.savings?.nemuriError).toBeGreaterThan(0);
  expect(report.checks.map(({ rule }) => rule).join()).not.toContain('ledger');
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  expect(page).toContain('There is no other truth to compare it with');
  expect(page).toContain('比べるべき真の値はない');
  expect(page).not.toMatch(/NaN|undefined|machines are virtual|機械は仮想/);
  const again = await trial([...quick, '--yes', '--out', out]);
  expect([again.code, again.stderr]).toEqual([0, expect.not.stringContaining('is ready')]);
}, 480_000);

test('interrupted once, it wakes every server, and says what is finished', async () => {
  const out = join(folder, 'cut');
  const before = commands();
  const long = ['--days', '0.2', '--speed', '60', '--peak-share', '0.3', '--arms', 'nemuri'];
  let cutOff = false;
  const cut = await trial([...long, '--yes', '--out', out], (stderr, child) => {
    if (cutOff || !stderr.includes('every server is ready')) return;
    cutOff = true;
    void untilOneSleeps(child).then(() => child.kill('SIGINT'));
  });
  expect(cut.stderr).toContain('every server is awake again');
  expect([cut.code, states()]).toEqual([1, awake]);
  // One to sleep, one to wake.
  expect(commands()).toBeGreaterThanOrEqual(before + 2);
}, 480_000);

test('an arm that is killed is followed by one that only wakes every server', async () => {
  const out = join(folder, 'killed');
  const long = ['--days', '0.2', '--speed', '60', '--peak-share', '0.3', '--arms', 'nemuri'];
  let begun = false;
  const killed = await trial([...long, '--yes', '--out', out], (stderr, child) => {
    if (begun || !stderr.includes('every server is ready')) return;
    begun = true;
    void untilOneSleeps(child).then(() => {
      for (const pid of familyOf(child.pid ?? 0)) if (isArm(pid)) process.kill(pid, 'SIGKILL');
    });
  });
  expect(killed.stderr).toContain('gone without a word; every server is woken');
  expect([killed.code, states()]).toEqual([1, awake]);
}, 480_000);

function isArm(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('armProcess.js');
}

/** Or until the child is gone. */
async function untilOneSleeps(child: ChildProcess): Promise<void> {
  const nextLook = () => new Promise<void>((again) => setTimeout(again, 50));
  while (child.exitCode === null && !states().includes('off')) await nextLook();
}
