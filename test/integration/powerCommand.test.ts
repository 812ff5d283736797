import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rackConfig, rackConfigYaml } from '../../lab/rack/config.ts';
import { daySettings } from '../../lab/rack/day.ts';
import { type Rack, startRack } from '../../lab/rack/rack.ts';

/** `nemuri power test` on a machine of the virtual rack. Needs `npm run build`. */

let folder: string;
let rack: Rack;
let configFile: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-power-'));
  rack = await startRack({
    servers: 1,
    setupTimeMs: 300,
    poweringOnMs: 50,
    shutdownMs: 50,
    directory: folder,
    defaults: { initialPower: 'on' },
  });
  configFile = join(folder, 'nemuri.yaml');
  const config = rackConfig(rack, { ...daySettings, password: 'env:TEST_BMC_PASSWORD' });
  await writeFile(configFile, rackConfigYaml(config));
});
afterAll(async () => {
  await rack.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function powerTest(args: readonly string[], password = rack.password): Promise<Result> {
  const command = ['dist/cli/main.js', 'power', 'test', '-c', configFile, '--server', 'server-1', ...args];
  const env = { PATH: process.env.PATH, TEST_BMC_PASSWORD: password };
  return new Promise((resolve) => {
    execFile(process.execPath, command, { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
    });
  });
}

test('reads and says what it would send', async () => {
  const { code, out } = await powerTest([]);
  expect(code).toBe(0);
  const lines = out.trim().split('\n');
  expect(lines).toEqual([
    expect.stringMatching(/^ok {4}rung 0 redfish +reads +on {2}\d+\.\d\d s$/),
    expect.stringMatching(/^ok {4}rung 0 redfish +meters +\d+(\.\d+)? W: \/redfish/),
    expect.stringMatching(/^ok {4}rung 0 redfish +would wake by +POST ComputerSystem.Reset to https:/),
    expect.stringMatching(/^ok {4}rung 0 redfish +would sleep by +POST/),
  ]);
});

test('--really does one cycle and times it', async () => {
  const { code, out } = await powerTest(['--really', '--json']);
  const report = JSON.parse(out);
  expect([code, report.server, report.really, report.ok]).toEqual([0, 'server-1', true, true]);
  const cycle = report.steps.slice(4);
  expect(cycle.map(({ step }: { step: string }) => step)).toEqual([
    'sleeps',
    'isOff',
    'wakes',
    'isOn',
    'serves',
  ]);
  expect(cycle.at(-1).elapsedMs).toBeGreaterThanOrEqual(300);
}, 60_000);

test('a wrong password is said, not shown; an unknown server is a wrong usage', async () => {
  const { code, out, err } = await powerTest([], 'wrong-Passw0rd');
  expect(code).toBe(1);
  expect(out).toMatch(/^FAIL {2}rung 0 redfish +reads +server-1: .*401/m);
  expect(out + err).not.toContain('wrong-Passw0rd');
  const unknown = await powerTest(['--server', 'server-9']);
  expect([unknown.code, unknown.err]).toEqual([
    2,
    'nemuri: --server must be one of server-1 (got server-9)\n',
  ]);
});
