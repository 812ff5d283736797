import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { busFindings } from '../../cli/doctor/judgeBus.ts';
import { type Bus, connectJetStreamBus, inspectBus } from '../../libs/bus/mod.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { type Fleet, foldInto, initialFleet } from '../../libs/domain/mod.ts';
import { draftOf, fleetConfig } from '../../libs/domain/testing/builders.ts';
import { type FleetView, openFleetView } from '../../libs/runtime/fleetView.ts';
import { type Lease, openLease } from '../../libs/runtime/lease.ts';
import { ensureNatsServer, type NatsServer, startNatsServer } from '../../libs/runtime/natsServer.ts';
import { fleetReadiness } from '../../libs/runtime/service.ts';
import { contextOn } from '../../services/testing/harness.ts';

/** What becomes of a bus whose store is full, damaged or gone: it is said so, and nothing rests on what it once knew. */

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

async function begin(wanted = limits): Promise<{ server: NatsServer; bus: Bus; view: FleetView }> {
  const binary = await ensureNatsServer({ log: () => undefined });
  const started = await startNatsServer({ binary, storeDir: folder });
  server = started;
  const onProblem = (problem: Error) => void problems.push(problem.message);
  const opened = await connectJetStreamBus({
    servers: started.url,
    source: 'test',
    limits: wanted,
    onProblem,
  });
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
  expect(fleetReadiness(fleet.fleet, store)).toMatch(/^the bus is lost: /);
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
  await until(() => fleet.fleet.config === undefined, patienceMs);
  expect(problems).toContain('the history was made anew or lost its end: starting over');
  expect(fleetReadiness(fleet.fleet, store)).toContain('not configured');
  await store.publish(draftOf('FleetConfigured', { config: fleetConfig() }));
  await until(() => fleet.fleet.config !== undefined, patienceMs);
  expect(fleet.fleet.servers.s1).toMatchObject({ lifecycle: 'waking', powerState: 'unknown' });
  expect(await fleet.record(draftOf('ServerPoweredOff'))).toBe(true);
  expect(fleetReadiness(fleet.fleet, store)).toBeUndefined();
}, 120_000);

describe('files that were damaged', () => {
  const stream = () => join(folder, 'jetstream', '$G', 'streams', 'FLEET');
  const flip = async (file: string, share: number) => {
    const bytes = await readFile(join(stream(), file));
    for (let index = 0; index < 32; index += 1) {
      const at = Math.floor((bytes.length - 33) * share) + index;
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    }
    await writeFile(join(stream(), file), bytes);
  };
  const halve = async (file: string) => {
    const path = join(stream(), file);
    await truncate(path, Math.floor((await stat(path)).size / 2));
  };

  /** The fold of what the stream holds now. */
  async function foldOf(store: Bus): Promise<Fleet> {
    const fleet = initialFleet();
    for await (const event of store.history('FLEET', 1)) foldInto(fleet, event);
    return fleet;
  }
  const events = 60;
  async function fill(fleet: FleetView): Promise<void> {
    const reason = 'x'.repeat(1_000);
    for (let index = 0; index < events; index += 1) await fleet.record(draftOf('ServerCordoned', { reason }));
  }

  test.each<[string, () => Promise<void>, 'cut' | 'whole']>([
    ['the end of the messages', () => halve('msgs/1.blk'), 'cut'],
    ['the index of the messages', () => flip('msgs/1.idx', 0.5), 'whole'],
    ['what describes the stream', () => flip('meta.inf', 0.5), 'whole'],
    ['its checksum', () => flip('meta.sum', 0.1), 'whole'],
    ['that it is described at all', () => rm(join(stream(), 'meta.inf')), 'whole'],
  ])(
    '%s: what is left is believed, what is gone is said, and it goes on',
    async (_name, damage, expected) => {
      const { server: nats, bus: store, view: fleet } = await begin();
      await fill(fleet);
      const known = fleet.fleet.sequence;
      const other = await openFleetView({ bus: store, name: 'health', onProblem: () => {} });
      await other.close();
      expect(await store.loadSnapshot('health')).toMatchObject({ sequence: known });
      await nats.kill('SIGKILL');
      await damage();
      await nats.restart();
      await until(() => store.lostSinceMs === undefined, patienceMs);
      if (expected === 'cut') {
        await until(
          () => problems.includes('the history was made anew or lost its end: starting over'),
          patienceMs,
        );
        await until(() => fleet.fleet.sequence > 0 && fleet.fleet.sequence < known, patienceMs);
      } else await until(async () => (await store.lastSequence('FLEET')) === known, patienceMs);
      expect(fleet.fleet).toEqual(await foldOf(store));
      expect(fleetReadiness(fleet.fleet, store)).toBeUndefined();

      // The sequences that were lost are given away again: a snapshot that knew the lost ones is told by its event.
      while (fleet.fleet.sequence < known + 5)
        expect(await fleet.record(draftOf('ServerUncordoned'))).toBe(true);
      const told: string[] = [];
      const onProblem = (problem: string) => void told.push(problem);
      const back = await openFleetView({ bus: store, name: 'health', onProblem });
      expect(back.fleet).toEqual(fleet.fleet);
      expect(told.some((problem) => /the snapshot is of another history/.test(problem))).toBe(
        expected === 'cut',
      );
      await back.close();
    },
    120_000,
  );

  test('bytes within the messages: a bus that does not give back what it stores is lost, until it is made anew', async () => {
    const { server: nats, bus: store, view: fleet } = await begin();
    await fill(fleet);
    await nats.kill('SIGKILL');
    await flip('msgs/1.blk', 0.5);
    await nats.restart();
    const isLost = () => /FLEET does not give back what it stored/.test(store.lostWhy ?? '');
    // Other versions than 2.9 cut the stream off before the damage, and go on.
    const isCut = () => store.lostSinceMs === undefined && fleet.fleet.sequence < events;
    await until(() => isLost() || isCut(), patienceMs);
    if (isCut()) return;
    expect(fleetReadiness(fleet.fleet, store)).toMatch(/^the bus is lost: .*its files are damaged/);
    const facts = await inspectBus({ servers: [nats.url], timeoutMs: 5_000, nowMs: Date.now });
    const finding = busFindings('bus', facts, undefined).find(({ about }) => about === 'FLEET');
    expect(finding).toMatchObject({ level: 'error', mend: expect.stringContaining('A damaged store') });
    // What docs/operating.md says to do.
    await nats.stop();
    await rm(stream(), { recursive: true });
    await nats.restart();
    await until(() => store.lostSinceMs === undefined && fleet.fleet.config === undefined, patienceMs);
    await store.publish(draftOf('FleetConfigured', { config: fleetConfig() }));
    await until(() => fleet.fleet.config !== undefined, patienceMs);
    expect(await fleet.record(draftOf('ServerPoweredOff'))).toBe(true);
  }, 120_000);

  test('a hole in the midst of the history is said, by whoever reads it and by doctor', async () => {
    // nats-server cuts so small a stream into files of 32 kB.
    const small = { ...limits, fleetMaxBytes: 125_000 };
    const { server: nats, bus: store, view: fleet } = await begin(small);
    await fill(fleet);
    await nats.kill('SIGKILL');
    await rm(join(stream(), 'msgs', '2.blk'));
    await nats.restart();
    await until(() => store.lostSinceMs === undefined, patienceMs);
    const facts = await inspectBus({ servers: [nats.url], timeoutMs: 5_000, nowMs: Date.now });
    const findings = busFindings('bus', facts, undefined);
    expect(findings.find(({ about }) => about === 'FLEET')).toMatchObject({
      level: 'error',
      found: expect.stringMatching(/\d+ events are gone/),
    });
    const told: string[] = [];
    const onProblem = (problem: string) => void told.push(problem);
    const anew = await openFleetView({ bus: store, name: 'planner', readOnly: true, onProblem });
    expect(told).toEqual(['events are missing in the history: the bus has lost them']);
    expect(anew.fleet.sequence).toBe(fleet.fleet.sequence);
    await anew.close();
    expect(await fleet.record(draftOf('ServerUncordoned'))).toBe(true);
  }, 120_000);
});

test('a replica that follows hears who leads on a bus that was made anew, and takes over', async () => {
  const { server: nats, bus: store } = await begin();
  const leaseMs = 800;
  const second = await connectJetStreamBus({ servers: nats.url, source: 'second', limits });
  const leases: Lease[] = [];
  const lead = async (own: Bus, name: string) => {
    const context = contextOn(own, 'power');
    const settings = { ...context.settings, name };
    const lease = await openLease({ ...context, settings, leaseMs: () => leaseMs });
    leases.push(lease);
    return lease;
  };
  try {
    const [a, b] = [await lead(store, 'power-a'), await lead(second, 'power-b')];
    const words = await store.lastSequence('TELEMETRY');
    await until(async () => (await store.lastSequence('TELEMETRY')) > words + 10, patienceMs);
    expect([a.isHeld, b.isHeld]).toEqual([true, false]);
    await nats.kill('SIGKILL');
    await rm(join(folder, 'jetstream'), { recursive: true, force: true });
    await nats.restart();
    await until(() => a.isHeld || b.isHeld, patienceMs);
    const [leader, follower] = a.isHeld ? [a, b] : [b, a];
    const end = await store.lastSequence('TELEMETRY');
    await until(async () => (await store.lastSequence('TELEMETRY')) > end + 1, patienceMs);
    await leader.stop();
    await until(() => follower.isHeld, 10 * leaseMs);
  } finally {
    await Promise.all(leases.map((lease) => lease.stop()));
    await second.close();
  }
}, 120_000);
