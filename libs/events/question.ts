import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';

/** What the power service asks a server's agent, and what that answers. Nothing of it is stored. */

const SleepOrderSchema = Type.Object({
  question: Type.Literal('sleep'),
  how: Type.Union([Type.Literal('suspend'), Type.Literal('hibernate'), Type.Literal('powerOff')]),
});
const SleepAnswerSchema = Type.Object({
  /** It will be done now; whether it was, the hardware says. */
  accepted: Type.Boolean(),
  /** Why not, in words. */
  refusals: Type.Array(Type.String({ maxLength: 500 }), { maxItems: 64 }),
});

export type SleepOrder = Static<typeof SleepOrderSchema>;
export type SleepAnswer = Static<typeof SleepAnswerSchema>;

const orders = TypeCompiler.Compile(SleepOrderSchema);
const answers = TypeCompiler.Compile(SleepAnswerSchema);

export function isSleepOrder(value: unknown): value is SleepOrder {
  return orders.Check(value);
}

export function isSleepAnswer(value: unknown): value is SleepAnswer {
  return answers.Check(value);
}
