import { createTurns } from './turns.ts';

test('so many at once, and no more', async () => {
  const turns = createTurns();
  let running = 0;
  let most = 0;
  const work = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return 'done';
  };
  const failing = expect(turns.take(() => Promise.reject(new Error('broken')), 2)).rejects.toThrow('broken');
  const done = await Promise.all(Array.from({ length: 20 }, () => turns.take(work, 2)));
  await failing;
  expect([done.length, most]).toEqual([20, 2]);
});
