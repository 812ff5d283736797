import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import { type NatsCluster, startCluster } from '../../libs/bus/testing/cluster.ts';
import { until } from '../../libs/bus/testing/until.ts';
import { draftOf } from '../../libs/domain/testing/builders.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { openFleetView } from '../../libs/runtime/fleetView.ts';

/** A bus of three real nats-servers, each of which is killed in turn: the leader of the stream first. */

const patienceMs = 60_000;

let cluster: NatsCluster;
const buses: Bus[] = [];

const open = async (source: string) => {
  const limits = {
    replicas: 3,
    fleetMaxBytes: 64 << 20,
    telemetryMaxBytes: 64 << 20,
    snapshotsMaxBytes: 64 << 20,
  };
  const bus = await connectJetStreamBus({ servers: cluster.urls, source, limits });
  buses.push(bus);
  return bus;
};

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()));
  await cluster?.close();
}, 60_000);

test('whichever server is killed, publishing and reading go on, nothing is lost and nothing doubled', async () => {
  const [writer, reader] = [await open('writer'), await open('reader')];
  const leader = await cluster.whenWhole('FLEET');
  const read: RecordedEvent[] = [];
  await reader.subscribe({
    stream: 'FLEET',
    startAt: 'beginning',
    onEvent: (event) => void read.push(event),
  });
  const view = await openFleetView({ bus: reader, name: 'check', onProblem: () => undefined });

  let published = 0;
  let running = true;
  const acks: number[] = [];
  const publishing = (async () => {
    while (running) {
      published += 1;
      const draft = draftOf('ServerCordoned', { reason: `number ${published}` });
      acks.push((await writer.publish(draft)).sequence);
    }
  })();
  const goesOn = async () => {
    const before = published;
    await until(() => published > before + 20 && read.length > before + 20, patienceMs);
  };
  await goesOn();
  for (const index of [leader, (leader + 1) % 3, (leader + 2) % 3]) {
    const server = cluster.servers[index];
    await server?.kill('SIGKILL');
    await goesOn();
    await server?.restart();
    await cluster.whenWhole('FLEET');
    await goesOn();
  }
  running = false;
  await publishing;
  await until(() => read.length >= published, patienceMs);

  const numbers = (events: readonly RecordedEvent[]) =>
    events.map((event) => (event.type === 'ServerCordoned' ? event.data.reason : event.type));
  const expected = Array.from({ length: published }, (_, index) => `number ${index + 1}`);
  expect(numbers(read)).toEqual(expected);
  const stored: RecordedEvent[] = [];
  for await (const event of reader.history('FLEET', 1)) stored.push(event);
  expect(numbers(stored)).toEqual(expected);
  expect(acks).toEqual(stored.map(({ sequence }) => sequence));
  expect(view.fleet.sequence).toBe(published);
  await view.close();
  expect(await writer.loadSnapshot('check')).toMatchObject({ sequence: published });
}, 300_000);
