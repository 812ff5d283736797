import { KindGuard, type TObject, type TSchema } from '@sinclair/typebox';
import fc from 'fast-check';

/**
 * Any value that a schema lets through, for the kinds of schema that the catalogue is made of.
 * @throws Error for a kind it does not know: a property test must not pass because it generated nothing.
 */
export function valuesOf(schema: TSchema): fc.Arbitrary<unknown> {
  if (KindGuard.IsLiteral(schema)) return fc.constant(schema.const);
  if (KindGuard.IsBoolean(schema)) return fc.boolean();
  if (KindGuard.IsString(schema)) return strings(schema);
  if (KindGuard.IsInteger(schema))
    return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 1e9 });
  if (KindGuard.IsNumber(schema)) return numbers(schema);
  if (KindGuard.IsUnion(schema)) return fc.oneof(...schema.anyOf.map(valuesOf));
  if (KindGuard.IsArray(schema)) {
    return fc.array(valuesOf(schema.items), {
      minLength: schema.minItems ?? 0,
      maxLength: schema.maxItems ?? 3,
    });
  }
  if (KindGuard.IsRecord(schema)) return records(schema);
  if (KindGuard.IsObject(schema)) return objects(schema);
  throw new Error(`no values for schemas like ${JSON.stringify(schema).slice(0, 100)}`);
}

function strings({ pattern, minLength = 0, maxLength = 40 }: TSchema): fc.Arbitrary<string> {
  if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern, 'u'));
  return fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) }).filter((text) => {
    return text.length <= maxLength;
  });
}

function numbers({ minimum, exclusiveMinimum, maximum = 1e12 }: TSchema): fc.Arbitrary<number> {
  const min = exclusiveMinimum ?? minimum ?? 0;
  const minExcluded = exclusiveMinimum !== undefined;
  // JSON knows no -0.
  return fc.double({ min, max: maximum, minExcluded, noNaN: true }).map((value) => value + 0);
}

function records(schema: TSchema): fc.Arbitrary<unknown> {
  const [pattern = '', inner] = Object.entries(schema.patternProperties as Record<string, TSchema>)[0] ?? [];
  if (!inner) throw new Error('a record without values');
  const keys = fc.stringMatching(new RegExp(pattern, 'u'));
  return fc.dictionary(keys, valuesOf(inner), {
    minKeys: schema.minProperties ?? 0,
    maxKeys: 2,
    noNullPrototype: true,
  });
}

function objects(schema: TObject): fc.Arbitrary<unknown> {
  const values: [string, fc.Arbitrary<unknown>][] = Object.entries(schema.properties).map(
    ([key, property]) => [key, valuesOf(property)],
  );
  return fc.record(Object.fromEntries(values) as Record<string, fc.Arbitrary<unknown>>, {
    requiredKeys: [...(schema.required ?? [])],
    noNullPrototype: true,
  });
}
