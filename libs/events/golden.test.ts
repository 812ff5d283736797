import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { catalog, type EventDraft, eventTypes, isEventType } from './catalog.ts';
import { decode, encode } from './codec.ts';
import { streamOf } from './subjects.ts';

/**
 * One stored message for each version of each event there ever was. They are never changed: what is in the streams
 * of others does not change either.
 */
interface Golden {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: object;
}

const folder = join(__dirname, 'golden');
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
const read = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Golden;

function typeAndVersion(file: string) {
  const [, type = '', version = ''] = /^([A-Za-z]+)\.v(\d+)\.json$/.exec(file) ?? [];
  if (!isEventType(type)) throw new Error(`${file} is the golden file of no event`);
  return { type, version: Number(version) };
}

test('every version of every event has its golden file, and nothing else does', () => {
  const versions = eventTypes.flatMap((type) =>
    Array.from({ length: catalog[type].version }, (_, index) => `${type}.v${index + 1}.json`),
  );
  expect([...files].sort()).toEqual(versions.sort());
});

describe.each(files)('%s', (file) => {
  const { subject, headers, data } = read(file);
  const { type, version } = typeAndVersion(file);
  const payload = new TextEncoder().encode(JSON.stringify(data));

  test('is read today', () => {
    const result = decode({
      subject,
      sequence: 7,
      storedMs: 9,
      payload,
      header: (name) => headers[name] ?? '',
    });
    expect(headers['ce-type']).toBe(`nemuri.${type}.v${version}`);
    const { traceparent } = headers;
    expect(result).toEqual({
      ok: true,
      event: {
        type,
        data: version === catalog[type].version ? data : expect.any(Object),
        id: headers['ce-id'],
        source: '/nemuri/rack 1',
        timeMs: Date.parse(headers['ce-time'] ?? ''),
        version: catalog[type].version,
        stream: streamOf(type),
        subject,
        sequence: 7,
        storedMs: 9,
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    });
  });

  if (version !== catalog[type].version) return;

  test('is written so today, byte for byte', () => {
    const { traceparent } = headers;
    const event = { type, data, ...(traceparent === undefined ? {} : { traceparent }) } as EventDraft;
    const timeMs = Date.parse(headers['ce-time'] ?? '');
    const written = encode(event, { id: headers['ce-id'] ?? '', source: '/nemuri/rack 1', timeMs });
    expect({ ...written, payload: [...written.payload] }).toEqual({
      subject,
      headers,
      payload: [...payload],
    });
  });
});
