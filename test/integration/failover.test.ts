import { fleetConfig, sampleData, serverNames } from '../../libs/domain/testing/builders.ts';
import type { EventOf, RecordedEvent } from '../../libs/events/mod.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { startPlanner } from '../../services/planner/planner.ts';
import { startPower } from '../../services/power/power.ts';
import { fakeMachines } from '../../services/power/testing/fakeMachine.ts';
import { createHarness, type Harness } from '../../services/testing/harness.ts';

/** From the fact that a server is dead to the wake of its replacement: planner and power, on one bus. */

const awake = 4;
const servers = 8;
const slowestMs = 300;

let harness: Harness;
const running: RunningService[] = [];
let sampling: NodeJS.Timeout | undefined;

beforeEach(async () => {
  harness = createHarness();
});

afterEach(async () => {
  clearInterval(sampling);
  await Promise.all(running.splice(0).map((service) => service.stop()));
  await harness.close();
});

const about = (server: string) => ({ server, pool: 'web' });

/** The first `awake` servers serve; the others sleep, proven. */
async function start(bounds: object = {}): Promise<void> {
  // Neither a decision nor a reconciliation is due by its interval: what happens, happens by the event.
  const planner = { decideIntervalMs: 30_000, leaseMs: 60_000 };
  await harness.configure(
    fleetConfig({
      servers,
      pool: { minServers: awake, planner },
      bounds: { reconcileIntervalMs: 30_000, ...bounds },
    }),
  );
  const machines = fakeMachines('off');
  for (const [index, server] of serverNames(servers).entries()) {
    if (index < awake) {
      machines.machine(server).powerState = 'on';
      await harness.publish({ type: 'ServerPoweredOn', data: about(server) });
      await harness.publish({
        type: 'ServerBecameHealthy',
        data: { ...about(server), latencyMs: 1, consecutive: 2 },
      });
    } else {
      await harness.publish({ type: 'ServerPoweredOff', data: about(server) });
      await harness.publish({ type: 'SleepVerified', data: { ...about(server), evidence: 'test' } });
    }
  }
  const sample = () => harness.publish({ type: 'LoadSampled', data: sampleData.LoadSampled });
  await sample();
  sampling = setInterval(() => void sample(), 100);
  running.push(
    await startPower(harness.context('power'), machines.make),
    await startPlanner(harness.context('planner')),
  );
  await harness.nextEvent(
    'FLEET',
    (event): event is EventOf<'CapacityDecided'> => event.type === 'CapacityDecided',
  );
}

const die = async (server: string) => {
  await harness.publish({
    type: 'ServerBecameUnhealthy',
    data: { ...about(server), reason: 'connect ECONNREFUSED', consecutive: 3 },
  });
  return harness.nextEvent(
    'FLEET',
    (event): event is EventOf<'ServerBecameUnhealthy'> =>
      event.type === 'ServerBecameUnhealthy' && event.data.server === server,
  );
};

const nextWake = (from: number) =>
  harness.nextEvent(
    'FLEET',
    (event): event is EventOf<'WakeRequested'> => event.type === 'WakeRequested',
    from,
  );

test(`each death wakes another server within ${slowestMs} ms, not at the next interval`, async () => {
  await start();
  const woken: string[] = [];
  const delaysMs: number[] = [];
  for (const server of serverNames(awake).slice(0, 3)) {
    const died = await die(server);
    const wake = await nextWake(died.sequence);
    woken.push(wake.data.server);
    delaysMs.push(wake.timeMs - died.timeMs);
  }
  expect(new Set(woken).size).toBe(3);
  expect(Math.max(...delaysMs)).toBeLessThanOrEqual(slowestMs);
});

test('a rack-wide outage wakes no more at once than the inrush bound', async () => {
  await start({ maxConcurrentWakes: 2 });
  const first = await die('s1');
  await Promise.all(['s2', 's3', 's4'].map(die));
  await nextWake((await nextWake(first.sequence)).sequence + 1);
  // Another decision and reconciliation have passed when this one's fact is folded.
  await harness.publish({ type: 'ServerCordoned', data: { server: 's1', reason: 'test', by: 'test' } });
  const types: RecordedEvent['type'][] = [];
  for await (const { type } of harness.bus.history('FLEET', first.sequence)) types.push(type);
  expect(types.filter((type) => type === 'WakeRequested')).toHaveLength(2);
});
