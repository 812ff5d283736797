import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { draftOf, fleetConfig } from '../../libs/domain/testing/builders.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { ensureNatsServer, type NatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { fleetReadiness } from '../../libs/runtime/service.ts';

/** What becomes of a bus whose store is full or gone: it is said so, and nothing rests on what it once knew. */

const patienceMs = 60_000;
const limits = { fleetMaxBytes: 8 << 20, telemetryMaxBytes: 1 << 20, snapshotsMaxBytes: 1 << 20 };

let folder: string;
let server: NatsServer | undefined;
let bus: Bus | undefined;
let view: FleetView | undefined;
let problems: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemuri-store-'));
  problems = [];
});
afterEach(async () => {
  await view?.close();
  await bus?.close();
  await server?.stop();
  [view, bus, server] = [undefined, undefined, undefined];
  unmount();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

/** A disk of 24 MB, where we may mount one: root, with the right to do so. */
function mount(): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
function unmount(): void {
  try {
    execFileSync('umount', ['-l', folder], { stdio: 'ignore' });
  } catch {
    // It was not mounted.
  }
}

async function begin(): Promise<{ server: NatsServer; bus: Bus; view: FleetView }> {
  const binary = await ensureNatsServer({ log: () => undefined });
  const started = await startNatsServer({ binary, storeDir: folder });
  server = started;
  const onProblem = (problem: Error) => void problems.push(problem.message);
  const opened = await connectJetStreamBus({ servers: started.url, source: 'test', limits, onProblem });
  bus = opened;
  view = await openFleetView({
    bus: opened,
    name: 'power',
    onProblem: (problem) => void problems.push(problem),
  });
  await view.record(draftOf('FleetConfigured', { config: fleetConfig() }));
  return { server: started, bus: opened, view };
}

test('a full disk is a lost bus, and one with room again is a bus that has lost nothing', async () => {
  if (!mount()) return;
  const { server: nats, bus: store, view: fleet } = await begin();
  // What is left of the disk, to the last block.
  for (const bytes of [16 << 20, 4 << 20, 1 << 20, 1 << 16, 1 << 12]) {
    for (let left = 0; left < 6; left += 1)
      await appendFile(join(folder, 'filler'), Buffer.alloc(bytes)).catch(() => undefined);
  }
  const reason = 'x'.repeat(2_000);
  let stored = 1;
  const fill = async () => {
    while (store.lostSinceMs === undefined) {
      stored = (await store.publish(draftOf('ServerCordoned', { reason }), { timeoutMs: 3_000 })).sequence;
    }
  };
  await fill().catch(() => undefined);
  await until(() => store.lostSinceMs !== undefined, patienceMs);
  expect(fleetReadiness(fleet.fleet, store)).toBe('the bus is lost');
  await rm(join(folder, 'filler'));
  await nats.restart();
  await until(() => store.lostSinceMs === undefined, patienceMs);
  expect(await store.lastSequence('FLEET')).toBeGreaterThanOrEqual(stored);
  await until(async () => fleet.fleet.sequence === (await store.lastSequence('FLEET')), patienceMs);
  expect(fleetReadiness(fleet.fleet, store)).toBeUndefined();
  expect(await fleet.record(draftOf('ServerUncordoned'))).toBe(true);
}, 180_000);

test('a store that is gone takes the old belief with it, and what is written from then on counts', async () => {
  const { server: nats, bus: store, view: fleet } = await begin();
  for (let index = 0; index < 20; index += 1) await fleet.record(draftOf('ServerPoweredOn'));
  expect(fleet.fleet.servers.s1?.powerState).toBe('on');
  await nats.kill('SIGKILL');
  await rm(join(folder, 'jetstream'), { recursive: true, force: true });
  await nats.restart();
  await until(() => store.lostSinceMs === undefined, patienceMs);
  await store.publish(draftOf('ServerCordoned'));
  await until(() => fleet.fleet.config === undefined, patienceMs);
  expect(problems).toContain('the history was made anew: starting over');
  expect(fleetReadiness(fleet.fleet, store)).toContain('not configured');
  await store.publish(draftOf('FleetConfigured', { config: fleetConfig() }));
  await until(() => fleet.fleet.config !== undefined, patienceMs);
  expect(fleet.fleet.servers.s1).toMatchObject({ lifecycle: 'waking', powerState: 'unknown' });
  expect(await fleet.record(draftOf('ServerPoweredOff'))).toBe(true);
  expect(fleetReadiness(fleet.fleet, store)).toBeUndefined();
}, 120_000);
