import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';

interface Report {
  readonly servers: readonly {
    readonly state: string;
    readonly powerWatts: number;
    readonly originPid: number;
  }[];
  readonly energy: { readonly fleetWh: number; readonly alwaysOnWh: number };
}

let directory: string;
let child: ChildProcess;
let originPids: readonly number[] = [];

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'nemuri-rack-main-'));
});
afterEach(async () => {
  child.kill('SIGKILL');
  // Had one outlived its rack, it would hold Jest's own pipes open.
  for (const pid of originPids.filter(isAlive)) process.kill(pid, 'SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<{ report: Report; url: string }> {
  const script = path.resolve('dist/lab/rack/main.js');
  const args = ['--servers', '2', '--base-port', '0', '--out', directory, '--time-scale', '1000'];
  child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { stdout } = child;
  if (!stdout) throw new Error('no stdout');
  const [line] = await once(stdout.setEncoding('utf8'), 'data');
  const url = `http://127.0.0.1:${JSON.parse(line).statusPort}`;
  const report = (await (await fetch(`${url}/rack`)).json()) as Report;
  originPids = report.servers.map(({ originPid }) => originPid);
  return { report, url };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function untilDead(pids: readonly number[]): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  while (pids.some(isAlive)) await pause(10, undefined, { signal });
}

describe('the rack as a process', () => {
  test('writes its config, tells its state, and ends everything at SIGTERM', async () => {
    const { report, url } = await start();
    expect(report.servers).toMatchObject([
      { state: 'serving', powerWatts: 140 },
      { state: 'serving', powerWatts: 140 },
    ]);
    expect(report.energy.fleetWh).toBeCloseTo(report.energy.alwaysOnWh, 9);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
    expect((await fetch(`${url}/rack`, { method: 'POST' })).status).toBe(405);
    const config = parse(await readFile(path.join(directory, 'nemuri.yaml'), 'utf8'));
    const [method] = config.servers['server-1'].power;
    expect(existsSync(method.tls.caFile)).toBe(true);
    const passwordFile = method.password.replace('file:', '');
    expect((await stat(passwordFile)).mode & 0o777).toBe(0o600);
    const password = await readFile(passwordFile, 'utf8');
    expect(JSON.stringify([config, report])).not.toContain(password);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(originPids.filter(isAlive)).toEqual([]);
  });

  test('its origins die with it even when it is killed', async () => {
    await start();
    child.kill('SIGKILL');
    await once(child, 'exit');
    await untilDead(originPids);
  });
});
