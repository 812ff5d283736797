import fc from 'fast-check';

/** What parsers have stumbled over before, ours or others': to be put anywhere. */
const corpus: readonly string[] = [
  '',
  '\0',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '\u2028',
  '\ufeff',
  '\ufffd',
  'é😀',
  '__proto__',
  'constructor',
  'toString',
  '{"__proto__":{"polluted":true}}',
  'null',
  'NaN',
  '-0',
  '1e999',
  '99999999999999999999999999',
  '-1',
  '%',
  '%00',
  '../../etc/passwd',
  '[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
  '{"a":'.repeat(64),
  '&a [*a,*a]',
  '? - : ! & * # |',
  '!!js/function',
  '<<: *x',
  'a'.repeat(5_000),
  '9'.repeat(400),
];

/** Bytes near to a valid text: its end and pieces of it cut off, the corpus and noise put in. */
export function near(...valid: readonly (string | Buffer)[]): fc.Arbitrary<Buffer> {
  const piece = fc.oneof(
    fc.constantFrom(...corpus).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
  );
  const place = fc.double({ min: 0, max: 1, noNaN: true });
  const changes = fc.array(fc.record({ at: place, cut: fc.nat(12), piece }), { maxLength: 4 });
  const ends = fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: place });
  return fc.tuple(fc.constantFrom(...valid), changes, ends).map(([text, wanted, end]) => {
    const whole = Buffer.from(text);
    const start = whole.subarray(0, Math.ceil(end * whole.length));
    return wanted.reduce((bytes, { at, cut, piece: put }) => {
      const from = Math.floor(at * bytes.length);
      return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + cut)]);
    }, start);
  });
}

/** JSON near to a valid value: parts of it replaced by anything that JSON can say. */
export function nearJson(valid: unknown): fc.Arbitrary<unknown> {
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(...corpus, 0, -1, 1e308, 2 ** 53, [], {}, [[]], [null], true),
  );
  if (Array.isArray(valid)) {
    const items = fc.tuple(...valid.map(nearJson));
    return fc.oneof({ weight: 6, arbitrary: items }, { weight: 1, arbitrary: anything });
  }
  if (typeof valid !== 'object' || valid === null)
    return fc.oneof({ weight: 6, arbitrary: fc.constant(valid) }, { weight: 1, arbitrary: anything });
  const fields = Object.fromEntries(Object.entries(valid).map(([key, value]) => [key, nearJson(value)]));
  const record = fc.record(fields, { requiredKeys: [], noNullPrototype: true });
  return fc.oneof({ weight: 8, arbitrary: record }, { weight: 1, arbitrary: anything });
}

/** @throws Error when the work takes longer than one hostile input may. */
export function soon<T>(work: () => T, boundMs = 2_000): T {
  const startedMs = performance.now();
  const result = work();
  const tookMs = performance.now() - startedMs;
  if (tookMs > boundMs) throw new Error(`took ${tookMs} ms`);
  return result;
}

/** Nothing that was read may have changed what every object has. */
export function expectUnpolluted(): void {
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect(Object.keys(Object.prototype)).toEqual([]);
}
