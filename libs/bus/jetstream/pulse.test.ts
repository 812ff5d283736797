import type { StreamInfo } from '@nats-io/jetstream';
import { until } from '../testing/until.ts';
import { missedPulses } from './options.ts';
import { type Pulse, startPulse, storeTrouble } from './pulse.ts';

describe('what a stream says of its copies', () => {
  const infoOf = (cluster: unknown) => ({ config: { name: 'FLEET' }, cluster }) as unknown as StreamInfo;
  const heard = { name: 'n2', current: true, active: 900e6 };
  const silent = { name: 'n3', current: true, active: 5_001e6 };
  const gone = { name: 'n4', current: false, active: 0, offline: true };

  test.each<[string, unknown, RegExp | undefined]>([
    ['no cluster', undefined, undefined],
    ['one copy', { leader: 'n1' }, undefined],
    ['all three', { leader: 'n1', replicas: [heard, heard] }, undefined],
    ['two of three', { leader: 'n1', replicas: [heard, silent] }, undefined],
    ['three of five', { leader: 'n1', replicas: [heard, heard, silent, gone] }, undefined],
    ['one of three', { leader: 'n1', replicas: [silent, gone] }, /no majority of its 3 copies.*n3, n4/],
    ['two of four', { leader: 'n1', replicas: [heard, silent, gone] }, /no majority of its 4 copies/],
    ['no leader', { replicas: [heard, heard, silent] }, /no leader/],
  ])('%s', (_name, cluster, expected) => {
    const trouble = storeTrouble(infoOf(cluster));
    if (expected) expect(trouble).toMatch(expected);
    else expect(trouble).toBeUndefined();
  });
});

describe('the pulse', () => {
  let pulse: Pulse | undefined;
  afterEach(() => pulse?.stop());

  /** Answers as it is told, for each time that it is asked. */
  function start(answers: (count: number) => Promise<void> | undefined, everyMs = 2) {
    const silences: { why: string; forMs: number; unstored: boolean; asked: number }[] = [];
    let count = 0;
    const ask = () => {
      count += 1;
      return answers(count);
    };
    pulse = startPulse({ everyMs, ask, onSilent: (silence) => silences.push({ ...silence, asked: count }) });
    return { silences, pulse, asked: () => count };
  }
  const bad = () => Promise.reject(new Error('no majority'));

  test('is lost by misses in a row, and by nothing less', async () => {
    // All but every third.
    const { silences, asked } = start((count) => (count % missedPulses === 0 ? Promise.resolve() : bad()));
    await until(() => asked() > 10 * missedPulses);
    expect(silences).toEqual([]);
    pulse?.stop();
    const all = start(bad);
    await until(() => all.silences.length > 0);
    expect(all.silences[0]).toMatchObject({ why: 'no majority', unstored: false, asked: missedPulses });
  });

  test('counts anew after the bus came back, and asks nobody while it is lost', async () => {
    const { silences, asked, pulse: own } = start((count) => (count < missedPulses ? bad() : undefined));
    await until(() => asked() > 2 * missedPulses);
    own.restart();
    expect(silences).toEqual([]);
  });

  test('publishes that fail again and again are a lost bus, until one is stored', async () => {
    const { silences, pulse: own } = start(() => undefined, 20);
    const boundMs = 20 * missedPulses;
    const failFor = async (durationMs: number) => {
      const fromMs = performance.now();
      await until(() => {
        own.unstored('FLEET', new Error('full'));
        return performance.now() - fromMs > durationMs;
      });
    };
    await failFor(boundMs / 4);
    own.stored('FLEET');
    own.stored('TELEMETRY');
    await failFor(boundMs / 4);
    expect(silences).toEqual([]);
    await failFor(boundMs);
    expect(silences.at(-1)).toMatchObject({ why: 'FLEET stores nothing: full', unstored: true });
    // Tried again in vain: it was never back.
    const before = silences.length;
    own.restart();
    own.unstored('FLEET', new Error('full'));
    expect(silences.length).toBe(before + 1);
    expect(silences.at(-1)?.forMs).toBeGreaterThan(boundMs);
    own.stored('FLEET');
    own.unstored('FLEET', new Error('full'));
    expect(silences.length).toBe(before + 1);
  });
});
