import {
  type EncodedEvent,
  encode,
  type MalformedEvent,
  type RecordedEvent,
  subjectFilters,
} from '../../events/mod.ts';
import { type Bus, BusClosedError, StaleWriterError, type StartAt } from '../bus.ts';
import { questionTests } from './contractOfQuestions.ts';
import { durableTests, limitTests, snapshotTests } from './contractOfState.ts';
import { cordoned, cordonMany, metered, poweredOn, probed } from './samples.ts';
import { until } from './until.ts';

export interface OpenOptions {
  readonly source?: string;
  readonly newId?: () => string;
  readonly onProblem?: (problem: Error) => void;
}

/** One empty bus: its handles share the events. */
export interface BusHarness {
  open(options?: OpenOptions): Promise<Bus>;
  /** Stores a message as it is, past the codec. */
  putRaw(message: EncodedEvent): Promise<unknown>;
  close(): Promise<void>;
}

/** What every implementation of `Bus` has to hold to. `makeHarness` is called for each test. */
export function describeBus(name: string, makeHarness: () => Promise<BusHarness>): void {
  describe(name, () => {
    let harness: BusHarness;
    const buses: Bus[] = [];
    const open = async (options?: OpenOptions): Promise<Bus> => {
      const bus = await harness.open(options);
      buses.push(bus);
      return bus;
    };

    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(async () => {
      await Promise.all(buses.splice(0).map((bus) => bus.close()));
      await harness.close();
    });

    const tools: Tools = { open, putRaw: (message) => harness.putRaw(message) };
    describe('publish', () => publishTests(tools));
    describe('subscribe', () => subscribeTests(tools));
    describe('what is no event', () => malformedTests(tools));
    describe('history', () => historyTests(tools));
    describe('snapshots', () => snapshotTests(tools));
    describe('limits', () => limitTests(tools));
    describe('subscribeDurable', () => durableTests(tools));
    describe('questions', () => questionTests(tools));
    describe('close', () => closeTests(tools));
  });
}

export interface Tools {
  open(options?: OpenOptions): Promise<Bus>;
  putRaw(message: EncodedEvent): Promise<unknown>;
}

const sequencesOf = (events: readonly RecordedEvent[]) => events.map((event) => event.sequence);

async function readHistory(bus: Bus, from = 1, filter?: string): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of bus.history('FLEET', from, filter)) events.push(event);
  return events;
}

function publishTests({ open }: Tools): void {
  it('numbers the events of each stream from 1', async () => {
    const bus = await open();
    expect(await bus.lastSequence('FLEET')).toBe(0);
    expect(await bus.publish(cordoned('s1'))).toEqual({ sequence: 1, duplicate: false });
    expect(await bus.publish(cordoned('s2'))).toEqual({ sequence: 2, duplicate: false });
    expect(await bus.publish(metered('s1', 90))).toEqual({ sequence: 1, duplicate: false });
    expect(await bus.lastSequence('FLEET')).toBe(2);
    expect(await bus.lastSequence('TELEMETRY')).toBe(1);
  });

  it('gives back what was put in, with its envelope', async () => {
    const bus = await open({ source: 'nemuri/power', newId: () => 'id-1' });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await bus.publish({ ...cordoned('s1', 'Wartung – ünïcode 眠り'), traceparent });
    const [event] = await readHistory(bus);
    expect(event).toMatchObject({
      ...cordoned('s1', 'Wartung – ünïcode 眠り'),
      id: 'id-1',
      source: 'nemuri/power',
      stream: 'FLEET',
      sequence: 1,
      version: 1,
      traceparent,
    });
  });

  it('stores an event once, however often its id comes', async () => {
    const bus = await open({ newId: () => 'same' });
    await bus.publish(cordoned('s1'));
    expect(await bus.publish(cordoned('s1'))).toEqual({ sequence: 1, duplicate: true });
    expect(await bus.lastSequence('FLEET')).toBe(1);
  });

  it('fences a stale writer', async () => {
    const bus = await open();
    await bus.publish(cordoned('other'));
    const first = await bus.publish(poweredOn('s1'), { expectedLastSubjectSequence: 0 });
    const stale = bus.publish(poweredOn('s1'), { expectedLastSubjectSequence: 0 });
    await expect(stale).rejects.toThrow(StaleWriterError);
    await expect(stale).rejects.toMatchObject({ lastSequence: first.sequence });
    const ahead = bus.publish(poweredOn('s2'), { expectedLastSubjectSequence: 7 });
    await expect(ahead).rejects.toMatchObject({ lastSequence: 0 });
    await bus.publish(poweredOn('s1'), { expectedLastSubjectSequence: first.sequence });
    expect(await bus.lastSequence('FLEET')).toBe(3);
  });

  it('refuses data that breaks its schema, and stores nothing', async () => {
    const bus = await open();
    await expect(bus.publish(metered('s1', -1))).rejects.toThrow(/PowerMetered\/powerWatts/);
    expect(await bus.lastSequence('TELEMETRY')).toBe(0);
  });
}

function subscribeTests({ open }: Tools): void {
  const collect = async (bus: Bus, startAt: StartAt) => {
    const events: RecordedEvent[] = [];
    const onEvent = (event: RecordedEvent) => events.push(event);
    const subscription = await bus.subscribe({ stream: 'FLEET', startAt, onEvent });
    return { events, subscription };
  };

  it('delivers what is stored and what comes, to every handle, in order', async () => {
    const [writer, reader] = [await open(), await open()];
    await cordonMany(writer, 3);
    const { events, subscription } = await collect(reader, 'beginning');
    await cordonMany(writer, 3);
    await until(() => events.length >= 6);
    expect(sequencesOf(events)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(subscription.lastSequence).toBe(6);
  });

  it('starts at a sequence', async () => {
    const bus = await open();
    await cordonMany(bus, 4);
    const { events } = await collect(bus, { sequence: 3 });
    await until(() => events.length >= 2);
    expect(sequencesOf(events)).toEqual([3, 4]);
  });

  it('starts at a time', async () => {
    const bus = await open();
    await cordonMany(bus, 2);
    const before = Date.now();
    await until(() => Date.now() > before + 2);
    const sinceMs = Date.now();
    await until(() => Date.now() > sinceMs + 2);
    await cordonMany(bus, 2);
    const { events } = await collect(bus, { sinceMs });
    await until(() => events.length >= 2);
    expect(sequencesOf(events)).toEqual([3, 4]);
  });

  it('starts with what is new', async () => {
    const bus = await open();
    await cordonMany(bus, 2);
    const { events, subscription } = await collect(bus, 'new');
    expect(subscription.lastSequence).toBe(0);
    await bus.publish(cordoned('s9'));
    await until(() => events.length >= 1);
    expect(sequencesOf(events)).toEqual([3]);
  });

  it('says so when it should start past the end, and goes on from the end', async () => {
    const problems: string[] = [];
    const bus = await open({ onProblem: (problem) => problems.push(problem.message) });
    await cordonMany(bus, 2);
    const { events } = await collect(bus, { sequence: 100 });
    expect(problems).toEqual([expect.stringContaining('FLEET ends at 2, before the wanted 100')]);
    await bus.publish(cordoned('s3'));
    await until(() => events.length >= 1);
    expect(sequencesOf(events)).toEqual([3]);
  });

  it('takes only what its filter wants', async () => {
    const bus = await open();
    const events: RecordedEvent[] = [];
    await bus.publish(metered('s1', 90));
    await bus.publish(probed('p1'));
    const options = { stream: 'TELEMETRY', filter: subjectFilters.meter, startAt: 'beginning' } as const;
    await bus.subscribe({ ...options, onEvent: (event) => events.push(event) });
    await bus.publish(probed('p1'));
    await bus.publish(metered('s2', 80));
    await until(() => events.length >= 2);
    expect(events.map((event) => event.subject)).toEqual(['nemuri.meter.s1', 'nemuri.meter.s2']);
  });

  it('reports a subscriber that throws, and goes on', async () => {
    const problems: string[] = [];
    const bus = await open({ onProblem: (problem) => problems.push(problem.message) });
    const seen: number[] = [];
    const onEvent = ({ sequence }: RecordedEvent) => {
      seen.push(sequence);
      if (sequence === 1) throw new Error('broken subscriber');
    };
    await bus.subscribe({ stream: 'FLEET', startAt: 'beginning', onEvent });
    await cordonMany(bus, 2);
    await until(() => seen.length >= 2);
    expect(seen).toEqual([1, 2]);
    expect(problems).toEqual([expect.stringContaining('broken subscriber')]);
  });

  it('is silent after stop', async () => {
    const bus = await open();
    const stopped = await collect(bus, 'beginning');
    const other = await collect(bus, 'beginning');
    await stopped.subscription.stop();
    await bus.publish(cordoned('s1'));
    await until(() => other.events.length >= 1);
    expect(stopped.events).toEqual([]);
  });
}

function malformedTests({ open, putRaw }: Tools): void {
  const context = { id: 'raw', source: 'test', timeMs: 1 };
  const good = encode(cordoned('s1'), context);
  const bad: readonly (readonly [string, EncodedEvent, RegExp])[] = [
    [
      'unknown type',
      { ...good, headers: { ...good.headers, 'ce-type': 'nemuri.Nonsense.v1' } },
      /unknown event type/,
    ],
    ['no headers', { ...good, headers: {} }, /ce-/],
    ['no JSON', { ...good, payload: Buffer.from('{') }, /JSON/],
    ['broken schema', { ...good, payload: Buffer.from('{}') }, /ServerCordoned\/server/],
    [
      'of a later version',
      { ...good, headers: { ...good.headers, 'ce-type': 'nemuri.ServerCordoned.v99' } },
      /version 99/,
    ],
    ['on a strange subject', { ...good, subject: 'nemuri.config' }, /belongs on/],
  ];

  it.each(bad)('is reported and skipped: %s', async (_name, message, problem) => {
    const problems: string[] = [];
    const bus = await open({ onProblem: (error) => problems.push(error.message) });
    const events: RecordedEvent[] = [];
    const malformed: MalformedEvent[] = [];
    await bus.subscribe({
      stream: 'FLEET',
      startAt: 'beginning',
      onEvent: (event) => events.push(event),
      onMalformed: (found) => malformed.push(found),
    });
    await bus.publish(cordoned('s1'));
    await putRaw(message);
    await bus.publish(cordoned('s2'));
    await until(() => events.length >= 2);
    expect(sequencesOf(events)).toEqual([1, 3]);
    expect(malformed).toEqual([
      { subject: message.subject, sequence: 2, problem: expect.stringMatching(problem) },
    ]);
    expect(sequencesOf(await readHistory(bus))).toEqual([1, 3]);
    expect(problems).toEqual([expect.stringMatching(problem)]);
  });

  it('counts as seen', async () => {
    const bus = await open();
    const malformed: MalformedEvent[] = [];
    const subscription = await bus.subscribe({
      stream: 'FLEET',
      startAt: 'beginning',
      onEvent: () => undefined,
      onMalformed: (found) => malformed.push(found),
    });
    await putRaw({ ...good, headers: {} });
    await until(() => malformed.length === 1);
    expect(subscription.lastSequence).toBe(1);
  });
}

function historyTests({ open }: Tools): void {
  it('ends at the present end, from any sequence', async () => {
    const bus = await open();
    expect(await readHistory(bus)).toEqual([]);
    await cordonMany(bus, 5);
    expect(sequencesOf(await readHistory(bus))).toEqual([1, 2, 3, 4, 5]);
    expect(sequencesOf(await readHistory(bus, 4))).toEqual([4, 5]);
    expect(await readHistory(bus, 6)).toEqual([]);
    expect(await readHistory(bus, 0)).toHaveLength(5);
  });

  it('ends although nothing or only early events match its filter', async () => {
    const bus = await open();
    await bus.publish(poweredOn('s1'));
    await cordonMany(bus, 3);
    expect(sequencesOf(await readHistory(bus, 1, 'nemuri.state.>'))).toEqual([1]);
    expect(await readHistory(bus, 2, 'nemuri.state.>')).toEqual([]);
  });

  it('tells which event was the last one at a time, and where it begins', async () => {
    const bus = await open();
    expect([await bus.firstSequence('FLEET'), await bus.sequenceAt('FLEET', Date.now())]).toEqual([1, 0]);
    await cordonMany(bus, 20);
    const storedMs: number[] = [];
    for await (const event of bus.history('FLEET', 1)) storedMs.push(event.storedMs);
    for (const timeMs of storedMs) {
      const stored = storedMs.filter((each) => each <= timeMs).length;
      const before = storedMs.filter((each) => each < timeMs).length;
      expect(await bus.sequenceAt('FLEET', timeMs)).toBe(stored);
      expect(await bus.sequenceAt('FLEET', timeMs - 1)).toBe(before);
    }
    expect(Math.abs(Date.now() - (storedMs.at(-1) ?? 0))).toBeLessThan(60_000);
    expect(await bus.sequenceAt('FLEET', 0)).toBe(0);
    expect(await bus.sequenceAt('FLEET', Date.now() + 60_000)).toBe(20);
    expect(await bus.firstSequence('FLEET')).toBe(1);
    const { subject } = await lastEvent(bus.history('FLEET', 20));
    expect(await bus.lastOn('FLEET', subject)).toEqual(await lastEvent(bus.history('FLEET', 20)));
    expect(await bus.lastOn('FLEET', `${subject}0`)).toBeUndefined();
    expect(await bus.eventAt('FLEET', 20)).toEqual(await lastEvent(bus.history('FLEET', 20)));
    expect(await bus.eventAt('FLEET', 21)).toBeUndefined();
  });

  it('may be left early', async () => {
    const bus = await open();
    await cordonMany(bus, 3);
    for await (const event of bus.history('FLEET', 1)) {
      expect(event.sequence).toBe(1);
      break;
    }
    expect(await readHistory(bus)).toHaveLength(3);
  });
}

function closeTests({ open }: Tools): void {
  it('ends what was opened and refuses what comes after', async () => {
    const [bus, other] = [await open(), await open()];
    const seen: number[] = [];
    const onEvent = ({ sequence }: RecordedEvent) => seen.push(sequence);
    await bus.subscribe({ stream: 'FLEET', startAt: 'new', onEvent });
    await bus.subscribeDurable({
      stream: 'FLEET',
      name: 'd',
      startAt: 'new',
      onEvent: async (e) => void onEvent(e),
    });
    await bus.close();
    await bus.close();
    await other.publish(cordoned('s1'));
    expect(await readHistory(other)).toHaveLength(1);
    expect(seen).toEqual([]);
    await expect(bus.publish(cordoned('s2'))).rejects.toThrow(BusClosedError);
    await expect(bus.lastSequence('FLEET')).rejects.toThrow(BusClosedError);
    await expect(readHistory(bus)).rejects.toThrow(BusClosedError);
  });

  it('is not lost while it is open', async () => {
    expect((await open()).lostSinceMs).toBeUndefined();
  });
}

async function lastEvent(events: AsyncIterable<RecordedEvent>): Promise<RecordedEvent> {
  let last: RecordedEvent | undefined;
  for await (const event of events) last = event;
  if (!last) throw new Error('no event');
  return last;
}
