import fc from 'fast-check';
import { beforeSteps, createRateMemory, resample } from './rateMemory.ts';

test('steps become minutes, what is not known of a minute is left out of its mean', () => {
  const memory = createRateMemory();
  for (let step = 0; step < 6; step += 1) memory.add(step, 10_000);
  memory.skip(20_000);
  for (let step = 0; step < 4; step += 1) memory.add(8, 10_000);
  memory.skip(60_000);
  expect(memory.remembered).toEqual({
    minutes: [2.5, 8, null],
    steps: [0, 1, 2, 3, 4, 5, 8, 8, 8, 8],
    stepMs: 10_000,
  });
});

test('steps of another length begin anew, the minutes stay', () => {
  const memory = createRateMemory();
  for (let step = 0; step < 12; step += 1) memory.add(5, 10_000);
  memory.add(7, 1_000);
  expect(memory.remembered).toEqual({ minutes: [5, 5], steps: [7], stepMs: 1_000 });
});

test('a memory holds a week and an hour, and goes on from what was saved', () => {
  const memory = createRateMemory();
  for (let minute = 0; minute < 12_000; minute += 1) memory.add(minute, 60_000);
  const saved = JSON.parse(JSON.stringify(memory.remembered));
  expect(saved.minutes).toHaveLength(10_140);
  const next = createRateMemory(saved);
  next.add(1, 60_000);
  expect(next.remembered.minutes.slice(-2)).toEqual([12_000, 1]);
  expect(next.remembered.steps).toHaveLength(12_001);
});

test('a week of noise is saved in less than half of what a message may be', () => {
  const memory = createRateMemory();
  for (let step = 0; step < 8 * 8_640; step += 1) memory.add(1_000 / 3 + ((step * 7_919) % 41), 10_000);
  expect(JSON.stringify(memory.remembered).length).toBeLessThan(400_000);
});

test('a silence of years costs no more than a week', () => {
  const memory = createRateMemory();
  memory.skip(1e12);
  expect(memory.remembered.minutes).toHaveLength(10_140);
});

test('before the steps come the minutes, each as often as steps fit in', () => {
  const remembered = { minutes: [1, null, 3], steps: [3, 3, 3, 3, 3, 3], stepMs: 10_000 };
  expect([...beforeSteps(remembered, 30_000)]).toEqual([1, 1, null, null]);
  expect([...beforeSteps({ ...remembered, steps: [] }, 60_000)]).toEqual([1, null, 3]);
});

test('on another grid the requests stay the same', () => {
  const rates = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 50 });
  const step = fc.integer({ min: 1, max: 20 });
  fc.assert(
    fc.property(rates, step, step, (values, from, to) => {
      const fitted = [...resample(values, from, to)];
      const coveredMs = fitted.length * to;
      let requests = 0;
      for (const [index, rps] of values.entries())
        requests += rps * Math.max(0, Math.min(coveredMs, (index + 1) * from) - index * from);
      expect(fitted.reduce((sum, rps) => sum + rps * to, 0)).toBeCloseTo(requests);
    }),
  );
});
