import { BusTimeoutError, NobodyAnswersError } from '../../../libs/bus/mod.ts';
import { agentDriver } from '../../../libs/domain/mod.ts';
import {
  type AgentMethod,
  capabilitiesOf,
  isSleepAnswer,
  type SleepOrder,
} from '../../../libs/events/mod.ts';
import { messageOf } from '../../../libs/runtime/errors.ts';
import { DriverError, type DriverFailureKind, type PowerDriver } from './driver.ts';

export interface AgentDependencies {
  /** Asks the server's agent (`Bus.ask`). */
  readonly ask: (server: string, question: SleepOrder, timeoutMs: number) => Promise<unknown>;
}

/**
 * Switches a machine off by the agent that runs on it. The agent can refuse: it looks once more by itself. What is
 * off has no agent, so waking and reading are for another method.
 */
export function createAgentDriver(
  server: string,
  method: AgentMethod,
  { ask }: AgentDependencies,
): PowerDriver {
  const { how, requestTimeoutMs } = method;
  const unsupported = (what: string) =>
    new DriverError('unsupported', `${server}: an agent can't ${what} its machine`);
  return {
    name: agentDriver,
    capabilities: capabilitiesOf(method),
    async wake() {
      throw unsupported('wake');
    },
    async sleep(force, signal) {
      if (force === 'forced') throw unsupported('force off');
      signal.throwIfAborted();
      const answer = await ask(server, { question: 'sleep', how }, requestTimeoutMs).catch((error) => {
        throw new DriverError(kindOf(error), `${server}: ${messageOf(error)}`, { cause: error });
      });
      if (!isSleepAnswer(answer)) throw new DriverError('protocol', `${server}: its agent answered nonsense`);
      if (answer.accepted) return;
      throw new DriverError('refused', `${server}: its agent refused: ${answer.refusals.join('; ')}`);
    },
    async readPower() {
      throw unsupported('read the power state of');
    },
    async meter() {
      return { powerWatts: undefined, source: 'an agent has no meter of its machine' };
    },
    async close() {},
  };
}

function kindOf(error: unknown): DriverFailureKind {
  const silent = error instanceof NobodyAnswersError || error instanceof BusTimeoutError;
  return silent ? 'unreachable' : 'protocol';
}
