import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { foldInto, initialFleet, parseAgentCheck } from '../../libs/domain/mod.ts';
import { sampleData } from '../../libs/domain/testing/builders.ts';
import { decode, type EventDraft, type EventType, encode, eventTypes } from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { decodeHealthResponse } from '../../libs/runtime/grpcHealth.ts';
import { BadAnswerError, bodyOf, parseHead } from '../../libs/runtime/rawHttp.ts';
import { parsed } from '../../services/console/parsed.ts';
import { createTraceStore, OtlpTracesSchema } from '../../services/console/traces.ts';
import { parseProxyHeader } from '../../services/proxy/proxyProtocol.ts';
import { expectUnpolluted, near, nearJson, soon } from './hostile.ts';

/** Everything that comes from outside, near to right and far from it: no crash, no hang, nothing kept without bound. */

afterEach(expectUnpolluted);

const about = { id: 'one', source: '/nemuri/test', timeMs: 1_700_000_000_000 };
const encoded = (type: EventType) => encode({ type, data: sampleData[type] } as EventDraft, about);

test('events: what is decoded folds, what is not is malformed', () => {
  const types = fc.constantFrom(...eventTypes);
  const cases = types.chain((type) => {
    const valid = encoded(type);
    const payload = fc.oneof(
      near(Buffer.from(valid.payload)),
      nearJson(sampleData[type]).map((value) => Buffer.from(JSON.stringify(value) ?? '')),
    );
    const headers = fc.oneof(
      { weight: 5, arbitrary: fc.constant(valid.headers) },
      { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...Object.keys(valid.headers)), fc.string()) },
    );
    return fc.record({ subject: fc.constant(valid.subject), headers, payload });
  });
  const fleet = initialFleet();
  let sequence = 0;
  fc.assert(
    fc.property(cases, ({ subject, headers, payload }) => {
      sequence += 1;
      const header = (name: string) => headers[name] ?? '';
      const result = soon(() => decode({ subject, sequence, storedMs: 0, payload, header }));
      if (result.ok) soon(() => foldInto(fleet, result.event));
      else expect(result.malformed.problem.length).toBeLessThan(10_000);
    }),
    { numRuns: 1_500 },
  );
});

test('the configuration: every mistake is a problem with its line, and no text is too strange', () => {
  const examples = ['deploy/examples/two-servers.yaml'].map((path) => readFileSync(path, 'utf8'));
  fc.assert(
    fc.property(near(...examples), (bytes) => {
      const result = soon(() => parseConfig(bytes.toString('utf8'), { file: 'f' }), 5_000);
      if (result.ok) return;
      expect(result.problems.length).toBeGreaterThan(0);
      expect(result.problems.every(({ line }) => line >= 1)).toBe(true);
    }),
    { numRuns: 150 },
  );
});

test.each([
  [
    'aliases that grow',
    `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.replace(/./g, (c) => `${c}: &${c} [${`*${String.fromCharCode(c.charCodeAt(0) - 1)},`.repeat(9)}]\n`)}`,
  ],
  ['deep nesting', '['.repeat(20_000)],
  ['deep mappings', Array.from({ length: 3_000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
  ['a key again and again', 'a: 1\n'.repeat(50_000)],
  ['one long line', `version: ${'9'.repeat(1_000_000)}`],
])('the configuration ends soon: %s', (_what, text) => {
  const result = soon(() => parseConfig(text, { file: 'f' }), 10_000);
  expect(result.ok).toBe(false);
});

test('an agent check is an answer or none', () => {
  const valid = ['up 75% ready maxconn:30\n', 'down # no\n', 'drain\n', 'maint,50%\r\n', 'stopped\tready\n'];
  fc.assert(
    fc.property(near(...valid), (bytes) => {
      const answer = soon(() => parseAgentCheck(bytes.toString('latin1')));
      if (answer?.weightPercent !== undefined) expect(answer.weightPercent).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 3_000 },
  );
});

test('a PROXY header is read to its end, refused, or waited for within its bound', () => {
  const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000c0a0000010a00000201bb01bb', 'hex');
  const valid = [
    'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /',
    'PROXY UNKNOWN\r\n',
    'PROXY TCP6 ::1 ::2 1 2\r\n',
    v2,
  ];
  fc.assert(
    fc.property(near(...valid), (bytes) => {
      const header = soon(() => parseProxyHeader(bytes));
      if (header.kind === 'header') expect(header.bytes).toBeLessThanOrEqual(bytes.length);
      if (header.kind === 'more') expect(bytes.length).toBeLessThan(16 + 4_096);
    }),
    { numRuns: 5_000 },
  );
});

test('an answer to a probe is judged or refused', () => {
  const valid = [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nok\r\n0\r\n\r\n',
  ];
  fc.assert(
    fc.property(near(...valid), (bytes) => {
      const text = bytes.toString('latin1');
      refusing(() => {
        const head = parseHead(text);
        if (head) expect(bodyOf(text, head).body.length).toBeLessThanOrEqual(text.length);
      });
    }),
    { numRuns: 5_000 },
  );
  fc.assert(
    fc.property(near(Buffer.from('00000000020801', 'hex'), Buffer.from('0000000003220101', 'hex')), (bytes) =>
      refusing(() => decodeHealthResponse(bytes)),
    ),
    { numRuns: 5_000 },
  );
});

function refusing(work: () => void): void {
  try {
    soon(work);
  } catch (error) {
    if (!(error instanceof BadAnswerError)) throw error;
  }
}

test('spans: what fits the schema can be shown, whoever is whose parent', () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const id = fc.constantFrom('b7ad6b7169203331', 'b7ad6b7169203332', 'b7ad6b7169203333');
  const span = fc
    .record({
      spanId: id,
      parentSpanId: id,
      name: fc.string(),
      key: fc.constantFrom('__proto__', 'constructor', 'a'),
    })
    .chain(({ key, ...ids }) =>
      nearJson({
        traceId,
        ...ids,
        startTimeUnixNano: '1700000000000000000',
        endTimeUnixNano: '1700000000100000000',
        attributes: [{ key, value: { stringValue: 'x' } }],
        events: [{ timeUnixNano: '1700000000000000001', name: 'parked' }],
        status: { code: 2, message: 'failed' },
      }),
    );
  const bodies = fc
    .array(span, { maxLength: 5 })
    .map((spans) => ({ resourceSpans: [{ scopeSpans: [{ spans }] }] }));
  const traces = createTraceStore();
  let taken = 0;
  fc.assert(
    fc.property(bodies, (body) => {
      try {
        soon(() => traces.add(parsed(OtlpTracesSchema, body)));
        taken += 1;
      } catch (error) {
        expect(error).toMatchObject({ problem: { status: 400 } });
      }
      soon(() => JSON.stringify([traces.list(), traces.spans(traceId)]));
    }),
    { numRuns: 1_000 },
  );
  expect(taken).toBeGreaterThan(100);
});

test('spans: however much is sent, little is kept', () => {
  const traces = createTraceStore();
  const hex = (number: number, digits: number) => number.toString(16).padStart(digits, '0');
  const text = 'x'.repeat(50_000);
  const attributes = Array.from({ length: 40 }, (_, index) => ({
    key: `${index}${text}`,
    value: { stringValue: text },
  }));
  const events = Array.from({ length: 500 }, () => ({ timeUnixNano: '1', name: 'x'.repeat(1_000) }));
  const status = { code: 2, message: text };
  for (let count = 1; count <= 1_500; count += 1) {
    const ids = { traceId: hex(count % 400, 32), spanId: hex(count, 16) };
    const span = { ...ids, name: 'wake', startTimeUnixNano: '1', endTimeUnixNano: '2' };
    traces.add({ resourceSpans: [{ scopeSpans: [{ spans: [{ ...span, attributes, events, status }] }] }] });
  }
  const kept = Array.from({ length: 400 }, (_, count) => traces.spans(hex(count, 32)) ?? []);
  const sizes = kept.flat().map((span) => JSON.stringify(span).length);
  expect(sizes.length).toBeGreaterThan(100);
  expect(Math.max(...sizes)).toBeLessThan(150_000);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(32 * 1_024 * 1_024);
});
