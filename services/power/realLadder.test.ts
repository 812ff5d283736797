import { sampleData } from '../../libs/domain/testing/builders.ts';
import type { EventOf, EventType, RecordedEvent } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { createHarness, type Harness } from '../testing/harness.ts';
import { createDriver } from './drivers/registry.ts';
import { type IpmiSim, startIpmiSim } from './drivers/testing/ipmiSim.ts';
import { createWorkshop, deps, describeWith } from './drivers/testing/peers.ts';
import { startPower } from './power.ts';

/** A ladder of several real drivers, as the service climbs it. */

const workshop = createWorkshop();
let harness: Harness;
let power: RunningService | undefined;
let sim: IpmiSim;

const next = <T extends EventType>(type: T, from?: number) =>
  harness.nextEvent('FLEET', (event: RecordedEvent): event is EventOf<T> => event.type === type, from);

const about = { server: 'web-1', pool: 'web' };
const times = { tries: 1, confirmTimeoutMs: 500, gracefulOffTimeoutMs: 500, allowForceOff: true };

async function start(methods: readonly object[]): Promise<void> {
  const power_ = methods.map((method) => ({ ...times, ...method }));
  const server = {
    pool: 'web',
    url: 'http://10.0.0.1',
    capacityRps: 1,
    power: power_,
    wakeTimeoutMs: 20_000,
  };
  const text = JSON.stringify({
    version: 1,
    pools: { web: { minServers: 0, planner: { minAwakeMs: 0, leaseMs: 60_000 } } },
    servers: { 'web-1': { ...server, energy: { setupTimeMs: 1_000 } } },
    bounds: { reconcileIntervalMs: 50, proxyLeaseMs: 60_000, proxyGoneMs: 120_000, healthLeaseMs: 60_000 },
  });
  const parsed = parseConfig(text, { file: 'test.json' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  await harness.configure(parsed.config);
  power = await startPower(harness.context('power'), (name, method) => createDriver(name, method, deps));
}

async function decide(target: readonly string[]): Promise<void> {
  const data = { ...sampleData.CapacityDecided, pool: 'web', target: [...target], validForMs: 60_000 };
  await harness.publish({ type: 'CapacityDecided', data });
}

describeWith({ ipmitool: 'ipmitool', ipmi_sim: 'openipmi' }, 'a ladder of several drivers', () => {
  beforeEach(async () => {
    harness = createHarness();
    sim = await startIpmiSim(await workshop.folder());
  });
  afterEach(async () => {
    await power?.stop();
    power = undefined;
    await harness.close();
    await sim.stop();
    await workshop.clear();
  });

  const ipmi = () => ({
    driver: 'ipmi',
    confirmTimeoutMs: 10_000,
    host: '127.0.0.1',
    port: sim.port,
    username: 'nemuri',
    password: 'env:BMC',
  });

  test('magic packets are lost, so the BMC wakes the machine', async () => {
    const lost = await workshop.udpPeer(() => {});
    const wol = { driver: 'wol', macs: ['52:54:00:12:34:56'], broadcasts: ['127.0.0.1'], ports: [lost] };
    await start([{ ...wol, packets: 1 }, ipmi()]);
    await next('ServerPoweredOff');
    await harness.publish({ type: 'SleepVerified', data: { ...about, evidence: 'test' } });
    await decide(['web-1']);
    const first = await next('WakeAttempted');
    expect([first.data.rung, first.data.driver]).toEqual([0, 'wol']);
    const second = await next('WakeAttempted', first.sequence + 1);
    expect([second.data.rung, second.data.driver]).toEqual([1, 'ipmi']);
    const { data } = await next('ServerPoweredOn', second.sequence);
    expect(data.wakeId).toBe(first.data.wakeId);
    expect(await sim.power()).toBe('1');
  }, 30_000);

  test('a graceful sleep by one driver does nothing, so another cuts the power', async () => {
    await sim.setPower('1');
    await start([{ driver: 'exec', sleep: ['/bin/true'] }, ipmi()]);
    await next('ServerPoweredOn');
    const healthy = { ...sampleData.ServerBecameHealthy, ...about };
    await harness.publish({ type: 'ServerBecameHealthy', data: healthy });
    const load = { ...sampleData.LoadSampled, pool: 'web', proxy: 'p1', stopping: false, servers: {} };
    await harness.publish({ type: 'LoadSampled', data: load });
    await harness.publish({ type: 'ProbesSampled', data: sampleData.ProbesSampled });
    await decide([]);
    const { data } = await next('SleepRequested');
    const drained = { ...about, proxy: 'p1', sleepId: data.sleepId, elapsedMs: 1 };
    await harness.publish({ type: 'ServerDrained', data: drained });
    const graceful = await next('SleepAttempted');
    expect([graceful.data.driver, graceful.data.forced]).toEqual(['exec', false]);
    const forced = await next('SleepAttempted', graceful.sequence + 1);
    expect([forced.data.driver, forced.data.forced]).toEqual(['ipmi', true]);
    await next('ServerPoweredOff', forced.sequence);
    expect([await sim.power(), (await sim.commands()).at(-1)]).toEqual(['0', 'power 0']);
  }, 30_000);
});
