import fc from 'fast-check';
import { catalog, type EventDraft, type EventType, eventTypes } from './catalog.ts';
import { decode, encode, type StoredMessage } from './codec.ts';
import { streamOf, subjectOf } from './subjects.ts';
import { valuesOf } from './testing/arbitrary.ts';

const context = { id: 'id-1', source: '/power', timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) };
const on = { type: 'ServerPoweredOn', data: { server: 's1', pool: 'web' } } as const;

function stored(
  event: EventDraft,
  where: Partial<typeof context> = {},
  headers: Record<string, string> = {},
) {
  const encoded = encode(event, { ...context, ...where });
  return message(encoded.subject, { ...encoded.headers, ...headers }, encoded.payload);
}
function message(
  subject: string,
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array,
): StoredMessage {
  return { subject, sequence: 7, storedMs: 9, payload, header: (name) => headers[name] ?? '' };
}
function problemOf(stored: StoredMessage): string {
  const result = decode(stored);
  return result.ok ? 'none' : result.malformed.problem;
}

describe('encode', () => {
  test('is a CloudEvent in binary mode', () => {
    const { subject, headers, payload } = encode({ ...on, traceparent: '00-a-b-01' }, context);
    expect(subject).toBe('nemuri.state.s1.power');
    expect(headers).toEqual({
      'ce-specversion': '1.0',
      'ce-id': 'id-1',
      'ce-type': 'nemuri.ServerPoweredOn.v1',
      'ce-source': '/power',
      'ce-time': '2026-01-02T03:04:05.678Z',
      'ce-datacontenttype': 'application/json',
      traceparent: '00-a-b-01',
    });
    expect(new TextDecoder().decode(payload)).toBe('{"server":"s1","pool":"web"}');
  });

  test('percent-encodes what a header can not hold', () => {
    const { headers } = encode(on, { ...context, id: '50 % "眠り"', source: '/a b\n' });
    expect(headers['ce-id']).toBe('50%20%25%20%22%E7%9C%A0%E3%82%8A%22');
    expect(headers['ce-source']).toBe('/a%20b%0A');
  });

  test.each<[string, EventDraft, string]>([
    ['a name that is none', { ...on, data: { server: 'S 1', pool: 'web' } }, 'ServerPoweredOn/server'],
    ['a missing key', { ...on, data: { server: 's1' } } as never, 'ServerPoweredOn/pool'],
    [
      'a number that is none',
      {
        type: 'PowerMetered',
        data: { server: 's1', pool: 'web', powerWatts: Number.NaN, meter: 'measured', meterSource: 'x' },
      },
      'PowerMetered/powerWatts',
    ],
  ])('refuses %s, and says where', (_what, event, where) => {
    expect(() => encode(event, context)).toThrow(`event refused: ${where}`);
  });

  test('refuses what decode would not read', () => {
    expect(() => encode(on, { ...context, id: '' })).toThrow('id or source is empty');
    expect(() => encode(on, { ...context, source: '' })).toThrow('id or source is empty');
    const meterSource = 'x'.repeat(4 * 1024 * 1024);
    const data = { server: 's1', pool: 'web', powerWatts: 1, meter: 'measured', meterSource } as const;
    expect(() => encode({ type: 'PowerMetered', data }, context)).toThrow(
      'payload has more than 4194304 bytes',
    );
  });
});

describe('there and back', () => {
  test.each(eventTypes)('%s', (type) => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 });
    const timeMs = fc.integer({ min: 0, max: Date.UTC(9999, 0) });
    const where = fc.record({ id: text, source: text, timeMs });
    fc.assert(
      fc.property(valuesOf(catalog[type].schema), where, fc.boolean(), (data, about, traced) => {
        const draft = { type, data, ...(traced ? { traceparent: '00-a-b-01' } : {}) } as EventDraft;
        const at = { subject: subjectOf(draft), sequence: 7, storedMs: 9 };
        const place = { stream: streamOf(type), ...at, version: 1 };
        expect(decode(stored(draft, about))).toEqual({ ok: true, event: { ...draft, ...about, ...place } });
      }),
      { numRuns: type === 'FleetConfigured' ? 20 : 50 },
    );
  });

  test('what a newer writer adds is let through', () => {
    const newer = { ...on, data: { ...on.data, colour: 'red' } };
    expect(decode(stored(newer))).toMatchObject({ ok: true, event: { data: { colour: 'red' } } });
  });

  test('reads what another encoder percent-encoded more eagerly', () => {
    const eager = stored(on, {}, { 'ce-source': '%2Fpower' });
    expect(decode(eager)).toMatchObject({ ok: true, event: { source: '/power' } });
  });
});

describe('what is malformed is reported, never thrown', () => {
  test.each<[string, Record<string, string>, string]>([
    ['no CloudEvent', { 'ce-specversion': '' }, 'ce-specversion "" is not 1.0'],
    ['another CloudEvents version', { 'ce-specversion': '2.0' }, 'ce-specversion "2.0" is not 1.0'],
    ['no type', { 'ce-type': '' }, 'unknown event type ""'],
    ['an unknown type', { 'ce-type': 'nemuri.ServerExploded.v1' }, 'unknown event type'],
    ['a type of every object', { 'ce-type': 'nemuri.constructor.v1' }, 'unknown event type'],
    ['no version', { 'ce-type': 'nemuri.ServerPoweredOn' }, 'unknown event type'],
    [
      'a future version',
      { 'ce-type': 'nemuri.ServerPoweredOn.v2' },
      'has version 2; this reader knows up to 1',
    ],
    ['a version before the first', { 'ce-type': 'nemuri.ServerPoweredOn.v0' }, 'no upcaster from version 0'],
    ['no time', { 'ce-time': '' }, 'ce-time "" is not a time'],
    ['a time of another kind', { 'ce-time': '7 March 2026' }, 'ce-time "7 March 2026" is not a time'],
    ['a time that never comes', { 'ce-time': '2026-13-45T99:00:00Z' }, 'is not a time'],
    ['no id', { 'ce-id': '' }, 'ce-id is missing'],
    ['no source', { 'ce-source': '' }, 'ce-source is missing'],
    ['a broken escape', { 'ce-source': '%zz' }, 'ce-source "%zz" is not percent-encoded UTF-8'],
  ])('%s', (_what, headers, problem) => {
    expect(problemOf(stored(on, {}, headers))).toContain(problem);
  });

  const { subject, headers } = encode(on, context);
  const bytes = (text: string) => new TextEncoder().encode(text);

  test.each<[string, Uint8Array, string]>([
    ['nothing', bytes(''), 'payload is not JSON in UTF-8'],
    ['no JSON', bytes('{"server":'), 'payload is not JSON in UTF-8'],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'payload is not JSON in UTF-8'],
    ['no object', bytes('[]'), 'ServerPoweredOn'],
    ['null', bytes('null'), 'ServerPoweredOn'],
    ['a missing key', bytes('{"server":"s1"}'), 'ServerPoweredOn/pool'],
    ['a wrong kind', bytes('{"server":1,"pool":"web"}'), 'ServerPoweredOn/server'],
    ['too much', new Uint8Array(4 * 1024 * 1024 + 1), 'payload has more than 4194304 bytes'],
  ])('payload: %s', (_what, payload, problem) => {
    expect(problemOf(message(subject, headers, payload))).toContain(problem);
  });

  test('an event on the subject of another server', () => {
    const { payload } = encode(on, context);
    const elsewhere = decode(message(subject.replace('s1', 's2'), headers, payload));
    expect(elsewhere).toEqual({
      ok: false,
      malformed: {
        subject: subject.replace('s1', 's2'),
        sequence: 7,
        problem: `ServerPoweredOn belongs on ${subject}`,
      },
    });
  });

  test('a header that can not even be read', () => {
    const broken = {
      ...stored(on),
      header: () => {
        throw new Error('no headers');
      },
    };
    expect(problemOf(broken)).toBe('no headers');
  });

  test('any bytes under any headers', () => {
    const header = fc.string();
    const fields = { 'ce-id': header, 'ce-time': header, 'ce-type': header, 'ce-source': header };
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.record(fields),
        fc.constantFrom<EventType>(...eventTypes),
        (payload, some, type) => {
          const known = { ...headers, 'ce-type': `nemuri.${type}.v1` };
          expect(typeof problemOf(message('x', { ...known, ...some }, payload))).toBe('string');
          expect(problemOf(message('x', known, payload))).not.toBe('none');
        },
      ),
    );
  });
});
