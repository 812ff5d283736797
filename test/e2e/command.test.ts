import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `npm run demo` as other programs call it, and however it ends. Needs `npm run build`. */

const patienceMs = 30_000;
let folder: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nemuri-command-'));
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  rmSync(folder, { recursive: true, force: true });
});

interface Running {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exited: Promise<number | null>;
}

function demo(...args: string[]): Running {
  const started = spawn(process.execPath, ['dist/lab/demo/main.js', ...args], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child = started;
  let stdout = '';
  let stderr = '';
  started.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  started.stderr.on('data', (chunk) => {
    stderr += chunk;
    started.emit('said');
  });
  const exited = once(started, 'close').then(([code]) => code as number | null);
  return { process: started, stdout: () => stdout, stderr: () => stderr, exited };
}

async function untilSaid(running: Running, text: string): Promise<void> {
  const signal = AbortSignal.timeout(patienceMs);
  while (!running.stderr().includes(text)) await once(running.process, 'said', { signal });
}

/** Every process that descends from `pid`, by /proc. */
function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const found = [pid];
  for (const parent of found) {
    for (const [own, its] of parents) if (its === parent) found.push(own);
  }
  return found.slice(1);
}

function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.startsWith('Z') === false;
  } catch {
    return false;
  }
}

async function untilGone(pids: readonly number[]): Promise<void> {
  const deadlineMs = Date.now() + patienceMs;
  while (pids.some(isAlive)) {
    if (Date.now() > deadlineMs) throw new Error(`still running: ${pids.filter(isAlive).join(', ')}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('--json ends with the report as one line, exit code 0, nothing left', async () => {
  const running = demo('--seconds', '12', '--servers', '3', '--seed', '7', '--json');
  await untilSaid(running, 'one day in 12 s');
  const pids = descendants(running.process.pid ?? 0);
  // nats-server, four services with a worker, three origins, the load, the janitor.
  expect(pids.length).toBeGreaterThanOrEqual(10);
  expect(await running.exited).toBe(0);
  const report = JSON.parse(running.stdout().trim().split('\n').at(-1) ?? '');
  expect(report).toMatchObject({ failed: 0, causes: {}, seed: 7, servers: 3, seconds: 12 });
  expect(report.requests).toBeGreaterThan(100);
  expect(report.events).toBeGreaterThan(50);
  expect(report.latencyMs.p50).toBeGreaterThan(0);
  expect(report.latencyMs.p99).toBeGreaterThanOrEqual(report.latencyMs.p50);
  const { fleetWh, alwaysOnWh, savedPercent } = report.energy;
  expect(savedPercent).toBeCloseTo((1 - fleetWh / alwaysOnWh) * 100, 0);
  await untilGone(pids);
  expect(readdirSync(folder)).toEqual([]);
}, 90_000);

test('Ctrl-C ends it with the report for people', async () => {
  const running = demo('--seconds', '600', '--servers', '2');
  await untilSaid(running, 'one day in 600 s');
  const pids = descendants(running.process.pid ?? 0);
  running.process.kill('SIGINT');
  expect(await running.exited).toBe(0);
  expect(running.stdout()).toMatch(/^energy .* % saved$/m);
  await untilGone(pids);
  expect(readdirSync(folder)).toEqual([]);
}, 90_000);

test('killed without a word, it still leaves nothing behind', async () => {
  const running = demo('--seconds', '600', '--servers', '2');
  await untilSaid(running, 'one day in 600 s');
  const pids = descendants(running.process.pid ?? 0);
  running.process.kill('SIGKILL');
  await running.exited;
  await untilGone(pids);
  expect(readdirSync(folder)).toEqual([]);
}, 90_000);

test('a wrong option is named with its rule and value, exit code 2', async () => {
  const running = demo('--servers', 'many');
  expect(await running.exited).toBe(2);
  expect(running.stderr()).toContain('--servers must be an integer from 1 to 100 (got "many")');
});
