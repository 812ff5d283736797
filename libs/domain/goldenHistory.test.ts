import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode, FleetConfigSchema } from '../events/mod.ts';
import { type Fleet, foldInto, initialFleet } from './fleet.ts';

/**
 * A history as an early Nemuri stored it, message by message, never changed since: its configuration lacks every
 * setting that came later. Whatever becomes of schemas, upcasters and the fold, it must lead to the same fleet.
 */
interface Stored {
  readonly subject: string;
  readonly storedMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: object;
}

const file = join(__dirname, 'testing', 'history.v1.json');
const messages = JSON.parse(readFileSync(file, 'utf8')) as Stored[];

function foldAll(): Fleet {
  const fleet = initialFleet();
  for (const [index, { subject, storedMs, headers, data }] of messages.entries()) {
    const payload = new TextEncoder().encode(JSON.stringify(data));
    const header = (name: string) => headers[name] ?? '';
    const result = decode({ subject, sequence: index + 1, storedMs, payload, header });
    if (!result.ok) throw new Error(`${index + 1} ${subject}: ${result.malformed.problem}`);
    foldInto(fleet, result.event);
  }
  return fleet;
}

test('is read to its end and folds to the fleet that it was', () => {
  const { servers, pools, sequence } = foldAll();
  expect(sequence).toBe(messages.length);
  const axes = Object.values(servers).map(({ name, lifecycle, powerState, health, cordoned }) =>
    [name, lifecycle, powerState, health, cordoned].join(' '),
  );
  expect(axes).toEqual([
    's1 ready on healthy false',
    's2 asleep off unknown false',
    's3 quarantined off unknown true',
  ]);
  expect(servers.s1?.setupTimesMs).toEqual([94_000]);
  expect(servers.s2?.sleptAtMs).toHaveLength(1);
  expect(servers.s3?.failedWakes).toBe(1);
  expect(pools.web).toMatchObject({ pinnedServers: 1, paused: false, decision: { target: ['s1'] } });
});

test('its configuration has what it said, and the defaults of what came later', () => {
  const { config } = foldAll();
  expect(config?.pools.web?.minServers).toBe(1);
  expect(config?.servers.s2?.capacityRps).toBe(100);
  expect(Object.keys(config ?? {}).toSorted()).toEqual(Object.keys(FleetConfigSchema.properties).toSorted());
  expect(config?.history.maxAgeMs).toBeGreaterThan(0);
});
