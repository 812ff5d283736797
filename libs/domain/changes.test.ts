import { bookmarkAt, changedSince, noteChange } from './changes.ts';
import { evolve } from './fleet.ts';
import { eventOf, scriptedFleet, startMs } from './testing/builders.ts';

test('says what changed since a bookmark, to each reader from where it was', () => {
  const { fleet, fact } = scriptedFleet();
  expect(changedSince(fleet.servers, undefined)).toBeUndefined();
  const first = bookmarkAt(fleet.servers);
  expect(changedSince(fleet.servers, first)).toEqual([]);
  fact('ServerPoweredOn', { server: 's2' });
  const second = bookmarkAt(fleet.servers);
  fact('ServerPoweredOn', { server: 's1' });
  fact('ServerPoweredOn', { server: 'nobody' });
  fact('PlannerPaused', { pool: 'web' });
  expect(changedSince(fleet.servers, first)).toEqual(['s2', 's1']);
  expect(changedSince(fleet.servers, second)).toEqual(['s1']);
});

test('knows nothing of a record of servers that was made anew', () => {
  const { fleet, fact } = scriptedFleet();
  const bookmark = bookmarkAt(fleet.servers);
  const copy = evolve(fleet, { ...eventOf('ServerPoweredOn'), sequence: fleet.sequence + 1 });
  expect(changedSince(copy.servers, bookmark)).toBeUndefined();
  expect(changedSince(fleet.servers, bookmark)).toEqual([]);
  fact('FleetConfigured', {}, startMs + 1);
  expect(changedSince(fleet.servers, bookmark)).toBeUndefined();
});

test('holds so many changes and no more: who comes later looks at all', () => {
  const servers = {};
  const early = bookmarkAt(servers);
  for (let index = 0; index < 20_000; index += 1) noteChange(servers, `s${index}`);
  const late = bookmarkAt(servers);
  expect(changedSince(servers, early)).toHaveLength(20_000);
  noteChange(servers, 'last');
  expect(changedSince(servers, early)).toBeUndefined();
  expect(changedSince(servers, late)).toEqual(['last']);
});
