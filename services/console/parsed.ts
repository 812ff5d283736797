import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { ProblemError } from '../../libs/runtime/errors.ts';

/** A value from outside, if it fits its schema. @throws ProblemError naming key and rule. */
export function parsed<S extends TSchema>(schema: S, value: unknown): Static<S> {
  if (Value.Check(schema, value)) return value;
  const first = Value.Errors(schema, value).First();
  throw new ProblemError(
    'NEMURI_INVALID',
    `${first?.path || '/'}: ${first?.message ?? 'not what is expected'}`,
  );
}
