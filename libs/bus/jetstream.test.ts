import { DiscardPolicy, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import type { RecordedEvent } from '../events/mod.ts';
import { type CuttableProxy, openCuttableProxy } from '../runtime/cuttableProxy.ts';
import { type Bus, BusClosedError, BusTimeoutError, StaleWriterError } from './bus.ts';
import { inspectBus, type JetStreamBusOptions } from './jetstream.ts';
import { makeNatsHarness, type NatsHarness } from './testing/natsHarness.ts';
import { cordoned, metered, poweredOn } from './testing/samples.ts';
import { until } from './testing/until.ts';

let harness: NatsHarness;
let proxy: CuttableProxy | undefined;
let raw: NatsConnection | undefined;
const buses: Bus[] = [];
const problems: string[] = [];

beforeEach(async () => {
  harness = await makeNatsHarness();
  problems.length = 0;
});

afterEach(async () => {
  await Promise.all(buses.splice(0).map((bus) => bus.close(200)));
  await raw?.close();
  await proxy?.close();
  await harness.close();
  raw = undefined;
  proxy = undefined;
});

async function open(options: Partial<JetStreamBusOptions> = {}): Promise<Bus> {
  const onProblem = (problem: Error) => problems.push(problem.message);
  const bus = await harness.open({ onProblem, quietCheckMs: 400, ...options });
  buses.push(bus);
  return bus;
}

async function openManager(): Promise<JetStreamManager> {
  raw = await connect({ servers: harness.server.url });
  return jetstreamManager(raw);
}

async function collect(bus: Bus, filter?: string): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  await bus.subscribe({
    stream: 'FLEET',
    startAt: 'beginning',
    onEvent: (event) => events.push(event),
    ...(filter ? { filter } : {}),
  });
  return events;
}

const reasonsOf = (events: readonly RecordedEvent[]) =>
  events.map((event) => (event.type === 'ServerCordoned' ? event.data.reason : event.type));

describe('a server that is killed and started again', () => {
  it('loses and repeats nothing: publishes in flight arrive once, subscriptions go on', async () => {
    const [writer, reader] = [await open(), await open()];
    const events = await collect(reader);
    const filtered = await collect(reader, 'nemuri.operator.server.s1');
    const durable: string[] = [];
    await reader.subscribeDurable({
      stream: 'FLEET',
      name: 'durable',
      startAt: 'beginning',
      onEvent: async (event) => void durable.push(event.id),
    });
    const count = 600;
    const publishing = [];
    let killed = Promise.resolve();
    for (let number = 0; number < count; number += 1) {
      publishing.push(writer.publish(cordoned(`s${number % 3}`, `${number}`)));
      if (number % 10 === 0) await publishing.at(-1);
      if (number === 300) killed = harness.server.kill('SIGKILL').then(() => harness.server.restart());
    }
    await killed;
    await Promise.all(publishing);
    await until(
      () => events.length >= count && filtered.length >= count / 3 && new Set(durable).size >= count,
    );

    expect(await reader.lastSequence('FLEET')).toBe(count);
    expect(events.map((event) => event.sequence)).toEqual(
      Array.from({ length: count }, (_, index) => index + 1),
    );
    expect(new Set(reasonsOf(events)).size).toBe(count);
    expect(filtered.map((event) => event.sequence)).toEqual(
      events.filter((event) => event.subject.endsWith('.s1')).map((event) => event.sequence),
    );
  });

  it('says since when it is lost, waits, and comes back', async () => {
    // Only the return of the bus can wake this subscription: its own checks come too late.
    const bus = await open({ now: () => 42, quietCheckMs: 60_000 });
    const events = await collect(bus);
    await harness.server.kill('SIGKILL');
    await until(() => bus.lostSinceMs !== undefined);
    expect(bus.lostSinceMs).toBe(42);
    await expect(bus.publish(cordoned('s1', 'late'), { timeoutMs: 50 })).rejects.toThrow(BusTimeoutError);
    const waiting = bus.publish(cordoned('s1', 'patient'));
    await harness.server.restart();
    expect(await waiting).toEqual({ sequence: 1, duplicate: false });
    expect(bus.lostSinceMs).toBeUndefined();
    await until(() => events.length >= 1);
    expect(reasonsOf(events)).toEqual(['patient']);
  });

  it('ends what waits for it when it is closed', async () => {
    const bus = await open();
    await harness.server.kill('SIGKILL');
    await until(() => bus.lostSinceMs !== undefined);
    const waiting = bus.publish(cordoned('s1'));
    const reading = bus.history('FLEET', 1)[Symbol.asyncIterator]().next();
    const results = Promise.allSettled([waiting, reading]);
    await bus.close(50);
    const reasons = (await results).map((result) => result.status === 'rejected' && result.reason);
    expect(reasons).toEqual([expect.any(BusClosedError), expect.any(BusClosedError)]);
  });

  it('is found dead when it only falls silent', async () => {
    const bus = await open();
    await harness.server.kill('SIGSTOP');
    const beforeMs = performance.now();
    await until(() => bus.lostSinceMs !== undefined);
    expect(performance.now() - beforeMs).toBeLessThan(8_000);
    await harness.server.kill('SIGCONT');
    await until(() => bus.lostSinceMs === undefined);
    expect(await bus.publish(cordoned('s1'))).toEqual({ sequence: 1, duplicate: false });
  });
});

describe('a bus that answers and stores nothing', () => {
  const pulseMs = 100;

  it('is lost, and back when what waits is stored', async () => {
    const bus = await open({ pulseMs });
    await bus.publish(cordoned('s1', 'one'));
    const manager = await openManager();
    const { config } = await manager.streams.info('FLEET');
    await manager.streams.update('FLEET', { ...config, discard: DiscardPolicy.New, max_msgs: 1 });
    const waiting = bus.publish(cordoned('s1', 'two'));
    await until(() => bus.lostSinceMs !== undefined);
    expect(bus.lostWhy).toMatch(/FLEET stores nothing: maximum messages exceeded/);
    await manager.streams.update('FLEET', config);
    expect(await waiting).toEqual({ sequence: 2, duplicate: false });
    expect([bus.lostSinceMs, bus.lostWhy]).toEqual([undefined, undefined]);
  });

  it('is lost when a stream is gone, and makes it anew', async () => {
    const bus = await open({ pulseMs });
    await bus.publish(cordoned('s1', 'one'));
    const manager = await openManager();
    await manager.streams.delete('FLEET');
    await until(() => problems.some((problem) => /the bus is lost: stream not found/.test(problem)));
    await until(() => bus.lostSinceMs === undefined);
    expect(await bus.publish(cordoned('s1', 'two'))).toEqual({ sequence: 1, duplicate: false });
  });
});

describe('an answer that is lost', () => {
  async function publishWithLostAnswer(
    fence: number,
  ): Promise<{ bus: Bus; ack: ReturnType<Bus['publish']> }> {
    proxy = await openCuttableProxy(harness.server.port);
    const bus = await open({ servers: proxy.url });
    const observer = await open();
    proxy.muteServer();
    const ack = bus.publish(poweredOn('s1'), { expectedLastSubjectSequence: fence });
    ack.catch(() => undefined);
    const stored = await collect(observer);
    await until(() => stored.length === 1);
    return { bus, ack };
  }

  it('is no second event and no stale writer', async () => {
    const { bus, ack } = await publishWithLostAnswer(0);
    proxy?.cut();
    expect(await ack).toEqual({ sequence: 1, duplicate: true });
    expect(await bus.lastSequence('FLEET')).toBe(1);
  });

  it('is told from a stale writer by the stream itself when the server forgot the id', async () => {
    const other = await open();
    await (await openManager()).streams.update('FLEET', { duplicate_window: nanos(100) });
    const { bus, ack } = await publishWithLostAnswer(0);
    // A later event of another subject and the time that passes make the server forget.
    const before = Date.now();
    await until(() => Date.now() > before + 400);
    await other.publish(cordoned('s2'));
    proxy?.cut();
    expect(await ack).toEqual({ sequence: 1, duplicate: true });
    const stale = bus.publish(poweredOn('s1'), { expectedLastSubjectSequence: 0 });
    await expect(stale).rejects.toThrow(StaleWriterError);
    expect(await bus.lastSequence('FLEET')).toBe(2);
  });
});

describe('a subscription', () => {
  it('goes on when its consumer is taken away', async () => {
    const bus = await open();
    const events = await collect(bus);
    await bus.publish(cordoned('s1', 'one'));
    await until(() => events.length === 1);
    const manager = await openManager();
    for await (const { name } of manager.consumers.list('FLEET'))
      await manager.consumers.delete('FLEET', name);
    await bus.publish(cordoned('s1', 'two'));
    await until(() => events.length >= 2);
    expect(reasonsOf(events)).toEqual(['one', 'two']);
  });

  it('tells of a stream that was made anew and goes on with what is new in it', async () => {
    const bus = await open();
    const events = await collect(bus);
    for (const reason of ['one', 'two', 'three']) await bus.publish(cordoned('s1', reason));
    await until(() => events.length === 3);
    const manager = await openManager();
    const { config } = await manager.streams.info('FLEET');
    await manager.streams.delete('FLEET');
    await manager.streams.add(config);
    await bus.publish(cordoned('s1', 'four'));
    await until(() => events.length >= 4);
    expect(reasonsOf(events)).toEqual(['one', 'two', 'three', 'four']);
    expect(events.at(-1)?.sequence).toBe(1);
    expect(problems.join('\n')).toMatch(/FLEET was made anew/);
  });

  it('reads a long history whole, however slowly, and while more is written', async () => {
    const bus = await open();
    const count = 5_000;
    const text = 'x'.repeat(1_500);
    await Promise.all(Array.from({ length: count }, (_, index) => bus.publish(cordoned(`s${index}`, text))));
    let next = 1;
    for await (const event of bus.history('FLEET', 1)) {
      expect(event.sequence).toBe(next);
      if (next % 100 === 0) await bus.publish(cordoned('later'));
      next += 1;
    }
    expect(next).toBe(count + 1);
  });
});

describe('connecting', () => {
  it('hands out an unconnected bus when it may not wait longer, which comes to life later', async () => {
    await harness.server.kill('SIGKILL');
    const bus = await open({ firstConnectTimeoutMs: 50 });
    expect(bus.lostSinceMs).toBeDefined();
    const ack = bus.publish(metered('s1', 90));
    await until(() => problems.length > 0);
    expect(problems[0]).toMatch(/the bus can't be reached/);
    await harness.server.restart();
    expect(await ack).toEqual({ sequence: 1, duplicate: false });
    expect(bus.lostSinceMs).toBeUndefined();
  });

  it('refuses wrong credentials at once', async () => {
    await harness.close();
    harness = await makeNatsHarness('authorization { user: "nemuri", password: "right" }');
    await expect(open({ user: 'nemuri', password: 'wrong' })).rejects.toThrow(/[Aa]uthorization/);
    const bus = await open({ user: 'nemuri', password: 'right' });
    expect(await bus.lastSequence('FLEET')).toBe(0);
  });

  it('throws what no waiting mends', async () => {
    await expect(open({ limits: { fleetMaxBytes: 2 ** 50 } })).rejects.toThrow(
      /stream FLEET: insufficient storage/,
    );
    await expect(open({ limits: { replicas: 3 } })).rejects.toThrow(/stream FLEET: replicas/);
  });

  it('changes only the limits that are given', async () => {
    await open({ limits: { fleetMaxBytes: 50_000_000 } });
    await open();
    await open({ limits: { telemetryMaxAgeMs: 60_000 } });
    const manager = await openManager();
    const fleet = (await manager.streams.info('FLEET')).config;
    const telemetry = (await manager.streams.info('TELEMETRY')).config;
    expect(fleet.max_bytes).toBe(50_000_000);
    expect(fleet.duplicate_window).toBe(nanos(120_000));
    expect(telemetry.max_age).toBe(nanos(60_000));
    expect(telemetry.duplicate_window).toBe(nanos(60_000));
  });
});

describe('inspectBus', () => {
  it('tells version, limits, streams and clock of the server', async () => {
    const inspect = () =>
      inspectBus({ servers: [harness.server.url], timeoutMs: 5_000, nowMs: () => Date.now() - 60_000 });
    expect((await inspect()).streams).toEqual([{ name: 'FLEET' }, { name: 'TELEMETRY' }]);
    const bus = await open();
    await bus.publish(cordoned('s1'));
    const facts = await inspect();
    expect(facts).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      streams: [{ name: 'FLEET', state: { messages: 1, replicas: 1 } }, { name: 'TELEMETRY' }],
    });
    expect(facts.maxPayloadBytes).toBeGreaterThan(1_000_000);
    // This side's clock is a minute late.
    expect(Math.abs((facts.clockSkewMs ?? 0) - 60_000)).toBeLessThan(5_000);
  });

  it('rejects where nobody is', async () => {
    const nobody = inspectBus({ servers: ['127.0.0.1:1'], timeoutMs: 1_000, nowMs: Date.now });
    await expect(nobody).rejects.toThrow();
  });
});

it('logs in with the user of its URL, and is told when it may not', async () => {
  const guarded = await makeNatsHarness('authorization { user: me, password: "hunter 2" }');
  try {
    const url = new URL(guarded.server.url);
    const bus = await guarded.open({ servers: `nats://me:hunter%202@${url.host}` });
    await bus.publish(cordoned('s1'));
    await bus.close();
    const stranger = guarded.open({ servers: `nats://me:wrong@${url.host}` });
    await expect(stranger).rejects.toThrow(/Authorization/);
  } finally {
    await guarded.close();
  }
});
