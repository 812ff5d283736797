import { catalog, eventTypes } from './catalog.ts';
import { type Upcasters, upcast, upcasters } from './upcast.ts';

const steps: Upcasters = {
  WakeRequested: {
    1: (data) => ({ ...(data as object), reason: 'unknown' }),
    2: (data) => ({ ...(data as object), wakeId: 'w1' }),
  },
};

test('lifts version by version', () => {
  expect(upcast('WakeRequested', { server: 's1' }, 1, 3, steps)).toEqual({
    server: 's1',
    reason: 'unknown',
    wakeId: 'w1',
  });
  expect(upcast('WakeRequested', { server: 's1' }, 2, 3, steps)).toEqual({ server: 's1', wakeId: 'w1' });
});

test('leaves the current version as it is', () => {
  const data = { server: 's1' };
  expect(upcast('WakeRequested', data, 3, 3, steps)).toBe(data);
});

test('refuses the future and what has no step', () => {
  expect(() => upcast('WakeRequested', {}, 4, 3, steps)).toThrow('has version 4; this reader knows up to 3');
  expect(() => upcast('WakeRequested', {}, 3, 5, steps)).toThrow('no upcaster from version 3');
  expect(() => upcast('SleepRequested', {}, 1, 2, steps)).toThrow('no upcaster from version 1');
});

test('every old version of every event has its upcaster', () => {
  for (const type of eventTypes) {
    for (let version = 1; version < catalog[type].version; version += 1) {
      expect([type, version, typeof upcasters[type]?.[version]]).toEqual([type, version, 'function']);
    }
  }
});
