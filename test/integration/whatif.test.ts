import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeNatsHarness, type NatsHarness } from '../../libs/bus/testing/natsHarness.ts';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import { parseConfig } from '../../libs/runtime/config.ts';

jest.setTimeout(60_000);

const run = promisify(execFile);
const root = join(__dirname, '../..');
const hours = 3;
const intervalMs = 10_000;
const servers = ['s1', 's2', 's3', 's4'];

let nats: NatsHarness;
let folder: string;
beforeEach(async () => {
  nats = await makeNatsHarness();
  folder = await mkdtemp(join(tmpdir(), 'nemuri-whatif-'));
});
afterEach(async () => {
  await nats.close();
  await rm(folder, { recursive: true });
});

function documentOf(capacityRps: number): string {
  const energy = { offWatts: 5, idleWatts: 100, busyWatts: 200, setupWatts: 200, setupTimeMs: 60_000 };
  const server = (name: string) => [
    name,
    { pool: 'web', url: `http://127.0.0.1:800${name.slice(1)}`, capacityRps, energy },
  ];
  return JSON.stringify({ version: 1, pools: { web: {} }, servers: Object.fromEntries(servers.map(server)) });
}

/** Three hours as the services would have told them: a load that comes and goes, and four servers that were always on. */
async function record(startMs: number): Promise<void> {
  let nowMs = startMs;
  const bus = await nats.open({ now: () => nowMs });
  const parsed = parseConfig(documentOf(100), { file: 'old.yaml' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  await bus.publish({ type: 'FleetConfigured', data: { config: parsed.config, origin: 'test' } });
  const steps = (hours * 3_600_000) / intervalMs;
  for (let step = 1; step <= steps; step += 1) {
    nowMs = startMs + step * intervalMs;
    const rps = 150 + 120 * Math.sin((step / steps) * 6 * Math.PI);
    const arrivals = Math.round((rps * intervalMs) / 1_000);
    const meters =
      step % 6 === 0
        ? servers.map((server) => draftOf('PowerMetered', { server, powerWatts: 140, meter: 'measured' }))
        : [];
    await Promise.all([
      bus.publish(draftOf('LoadSampled', { intervalMs, arrivals, completed: arrivals, servers: {} })),
      ...meters.map((meter) => bus.publish(meter)),
    ]);
  }
  await bus.close();
}

async function whatif(args: readonly string[]) {
  const main = join(root, 'dist/cli/main.js');
  const { stdout } = await run(process.execPath, [main, 'whatif', ...args, '--nats', nats.server.url], {
    cwd: folder,
  });
  return stdout;
}

test('servers twice as strong: the recorded load is planned for with fewer of them, and the difference is told', async () => {
  await record(Date.now() - hours * 3_600_000);
  const file = join(folder, 'new.yaml');
  await writeFile(file, documentOf(200));
  const report = JSON.parse(
    (await whatif(['-c', file, '--since', '4h', '--json'])).trimEnd().split('\n').at(-1) ?? '',
  );
  expect(report).toMatchObject({ pool: 'web', happened: { wakes: 0, failed: 0 } });
  // Four servers, three hours, 140 W each.
  expect(report.happened.energyWh / (4 * 3 * 140)).toBeCloseTo(1, 1);
  expect(report.requests / (hours * 3_600 * 150)).toBeCloseTo(1, 1);
  expect(report.whatif.energyWh).toBeLessThan(report.now.energyWh);
  expect(report.difference.energyWh).toBeCloseTo(report.whatif.energyWh - report.now.energyWh, 0);
  expect(report.now.lateFraction).toBeLessThan(0.01);
  expect(await whatif(['-c', file, '--since', '4h'])).toMatch(/changed .* Wh .*\n.*difference: -/s);
});

test('settings of the pool are tried without a file, and a short history is no answer', async () => {
  await record(Date.now() - hours * 3_600_000);
  const json = await whatif(['--set', 'minServers=4', '--since', '4h', '--json']);
  const { now, whatif: changed } = JSON.parse(json);
  expect(now.wakes).toBeGreaterThan(0);
  expect(changed).toMatchObject({ wakes: 0, lateFraction: 0 });
  expect(changed.energyWh).toBeGreaterThan(now.energyWh);
  const refused = (...args: string[]) => expect(whatif(args)).rejects;
  await refused('--set', 'minServers=4', '--since', '5m').toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/the history is too short: .* s of load of pool web .* 600 s are needed/),
  });
  await refused('--since', '5m').toMatchObject({ stderr: expect.stringContaining('say what to try') });
  await refused('--set', 'minServers=4', '--pool', 'shop').toMatchObject({
    stderr: expect.stringContaining('there is no pool shop; there are web'),
  });
});

test('a file that is not valid is refused by line, key and rule', async () => {
  const file = join(folder, 'bad.yaml');
  await writeFile(file, documentOf(-1));
  await expect(whatif(['-c', file, '--since', '1h'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/bad\.yaml.*capacityRps/),
  });
});
