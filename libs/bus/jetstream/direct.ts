import { TimeoutError } from '@nats-io/transport-node';
import { questionSubject } from '../../events/mod.ts';
import { type Answerer, BusRefusedError, BusTimeoutError, NobodyAnswersError } from '../bus.ts';
import { messageOf } from '../problems.ts';
import type { Link } from './link.ts';
import { isNobody, isRefusal } from './protocol.ts';

/** Questions are small; what is larger is not one. */
const maxQuestionBytes = 16 * 1024;

/** Plain NATS request and reply, past the streams. */
export async function askQuestion(
  link: Link,
  server: string,
  question: unknown,
  timeoutMs: number,
): Promise<unknown> {
  const { nc } = await link.whenUp(timeoutMs);
  try {
    const request = nc.request(questionSubject(server), JSON.stringify(question), { timeout: timeoutMs });
    return (await link.guard(request)).json();
  } catch (error) {
    if (isNobody(error)) throw new NobodyAnswersError(server, { cause: error });
    if (isRefusal(error)) throw new BusRefusedError(questionSubject(server), { cause: error });
    if (error instanceof TimeoutError) {
      throw new BusTimeoutError(`a question to ${server}`, timeoutMs, { cause: error });
    }
    throw error;
  }
}

/** The client itself subscribes anew after each reconnection. */
export async function answerQuestions(
  link: Link,
  server: string,
  answerer: Answerer,
): Promise<{ stop(): Promise<void> }> {
  const { nc } = await link.whenUp();
  const subscription = nc.subscribe(questionSubject(server), {
    callback: (error, message) => {
      if (error || message.data.byteLength > maxQuestionBytes) return;
      const answer = async () => message.respond(JSON.stringify((await answerer(message.json())) ?? null));
      answer().catch((problem: unknown) =>
        link.report(new Error(`a question to ${server} has no answer: ${messageOf(problem)}`)),
      );
    },
  });
  // A question sent right after this must find us.
  await link.guard(nc.flush());
  return {
    async stop() {
      if (!subscription.isClosed()) subscription.unsubscribe();
    },
  };
}
