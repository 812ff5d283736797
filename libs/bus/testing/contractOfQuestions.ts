import { BusTimeoutError, NobodyAnswersError } from '../bus.ts';
import type { Tools } from './contract.ts';

/** The part of the contract about what is asked and answered past the streams. */
export function questionTests({ open }: Tools): void {
  it('are answered by who answers for the server, and not stored', async () => {
    const [asker, other] = [await open(), await open()];
    await other.answer('s1', async (question) => ({ heard: question, from: 's1' }));
    await other.answer('s2', async () => 'two');
    expect(await asker.ask('s1', { sleep: [1, 'x'] }, 5_000)).toEqual({
      heard: { sleep: [1, 'x'] },
      from: 's1',
    });
    expect(await asker.ask('s2', null, 5_000)).toBe('two');
    expect([await asker.lastSequence('FLEET'), await asker.lastSequence('TELEMETRY')]).toEqual([0, 0]);
  });

  it('nobody answers', async () => {
    const [asker, other] = [await open(), await open()];
    await expect(asker.ask('s1', {}, 5_000)).rejects.toThrow(NobodyAnswersError);
    const answering = await other.answer('s1', async () => 1);
    expect(await asker.ask('s1', {}, 5_000)).toBe(1);
    await answering.stop();
    await expect(asker.ask('s1', {}, 5_000)).rejects.toThrow(NobodyAnswersError);
  });

  it('an answer that does not come, or fails, is a time-out', async () => {
    const [asker, other] = [await open(), await open()];
    await other.answer('s1', () => new Promise(() => undefined));
    await other.answer('s2', async () => {
      throw new Error('broken');
    });
    await expect(asker.ask('s1', {}, 30)).rejects.toThrow(BusTimeoutError);
    await expect(asker.ask('s2', {}, 30)).rejects.toThrow(BusTimeoutError);
  });
}
