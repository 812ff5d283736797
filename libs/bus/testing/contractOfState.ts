import type { RecordedEvent } from '../../events/mod.ts';
import { StaleWriterError } from '../bus.ts';
import type { Tools } from './contract.ts';
import { cordoned, cordonMany, metered, poweredOn } from './samples.ts';
import { until } from './until.ts';

/** The part of the contract about what the bus keeps for its users: snapshots and positions. */
export function snapshotTests({ open }: Tools): void {
  it('gives back the last one saved', async () => {
    const bus = await open();
    expect(await bus.loadSnapshot('fleet')).toBeUndefined();
    for (const sequence of [7, 8, 9]) {
      const snapshot = { schemaVersion: 2, sequence, state: { servers: ['s1'], sequence } };
      await bus.saveSnapshot('fleet', snapshot);
      expect(await (await open()).loadSnapshot('fleet')).toEqual(snapshot);
    }
    expect(await bus.loadSnapshot('other')).toBeUndefined();
  });

  it('keeps a state of 3 MB that does not compress, and a small one after it', async () => {
    const bus = await open();
    let seed = 1;
    const text = Array.from({ length: 3_000_000 }, () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return String.fromCharCode(33 + (seed % 90));
    }).join('');
    const large = { schemaVersion: 1, sequence: 1, state: { text } };
    await bus.saveSnapshot('planner', large);
    const loaded = await bus.loadSnapshot('planner');
    expect(JSON.stringify(loaded) === JSON.stringify(large)).toBe(true);
    const small = { schemaVersion: 1, sequence: 2, state: null };
    await bus.saveSnapshot('planner', small);
    expect(await bus.loadSnapshot('planner')).toEqual(small);
  });
}

export function limitTests({ open }: Tools): void {
  it('shortens how long events are kept, and leaves the other stream alone', async () => {
    const bus = await open();
    await cordonMany(bus, 3);
    await bus.publish(metered('s1', 100));
    await bus.limit({ fleetMaxAgeMs: 200 });
    let first = 0;
    while (first <= 3) {
      await bus.publish(cordoned('s1'));
      first = await bus.firstSequence('FLEET');
    }
    expect(await bus.firstSequence('TELEMETRY')).toBe(1);
    // What is forgotten on a subject is forgotten by its fence too.
    await expect(bus.publish(cordoned('s3'), { expectedLastSubjectSequence: 3 })).rejects.toThrow(
      StaleWriterError,
    );
    await bus.publish(cordoned('s3'), { expectedLastSubjectSequence: 0 });
  });
}

export function durableTests({ open, putRaw }: Tools): void {
  const durable = { stream: 'FLEET', name: 'worker', startAt: 'beginning' } as const;

  it('delivers again what was rejected', async () => {
    const problems: string[] = [];
    const bus = await open({ onProblem: (problem) => problems.push(problem.message) });
    await cordonMany(bus, 3);
    const seen: number[] = [];
    const subscription = await bus.subscribeDurable({
      ...durable,
      async onEvent({ sequence }) {
        seen.push(sequence);
        if (sequence === 2 && seen.filter((each) => each === 2).length === 1) throw new Error('not yet');
      },
    });
    await until(() => seen.length >= 4);
    expect([...seen].sort()).toEqual([1, 2, 2, 3]);
    expect(problems).toEqual([expect.stringContaining('not yet')]);
    expect(subscription.lastSequence).toBe(3);
  });

  it('goes on where it was, also through another handle', async () => {
    const first = await open();
    await cordonMany(first, 2);
    const seen: number[] = [];
    const onEvent = async ({ sequence }: RecordedEvent) => void seen.push(sequence);
    const subscription = await first.subscribeDurable({ ...durable, onEvent });
    await until(() => seen.length >= 2);
    await subscription.stop();
    await cordonMany(first, 2);
    await (await open()).subscribeDurable({ ...durable, onEvent });
    await until(() => seen.length >= 4);
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it('starts with what is new, filters, and skips what is no event', async () => {
    const bus = await open();
    await bus.publish(poweredOn('s1'));
    const seen: number[] = [];
    const malformed: number[] = [];
    await bus.subscribeDurable({
      ...durable,
      startAt: 'new',
      filter: 'nemuri.state.>',
      onEvent: async ({ sequence }) => void seen.push(sequence),
      onMalformed: ({ sequence }) => void malformed.push(sequence),
    });
    await bus.publish(cordoned('s1'));
    await putRaw({ subject: 'nemuri.state.s1.power', headers: {}, payload: Buffer.from('x') });
    await bus.publish(poweredOn('s1'));
    await until(() => seen.length >= 1);
    expect(seen).toEqual([4]);
    expect(malformed).toEqual([3]);
  });
}
