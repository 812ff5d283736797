import { execFile } from 'node:child_process';
import { agentSleepRefusals, type LocalLook, sleepForAgent } from '../libs/domain/mod.ts';
import { isSleepOrder, type SleepAnswer, type SleepOrder } from '../libs/events/mod.ts';
import { pause } from '../libs/runtime/clock.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import type { FleetView } from '../libs/runtime/fleetView.ts';
import type { ServiceContext } from '../libs/runtime/service.ts';
import type { ControlPlane } from './controlPlane.ts';
import type { AgentSettings } from './settings.ts';

/** The order may be here before the fact it rests on. */
const factTimeoutMs = 2_000;
const lookIntervalMs = 100;
const publishTimeoutMs = 5_000;

/** Runs a program to its end. Rejects when it can't be started, fails, or takes longer. */
export type Run = (command: readonly string[], timeoutMs: number) => Promise<void>;

export const runProgram: Run = ([program = '', ...args], timeoutMs) =>
  new Promise((resolve, reject) => {
    execFile(program, args, { timeout: timeoutMs }, (error) => (error ? reject(error) : resolve()));
  });

export interface OrdersOptions extends Pick<ServiceContext, 'bus' | 'log' | 'nowMs' | 'clock'> {
  readonly server: string;
  readonly view: FleetView;
  readonly controlPlane: ControlPlane;
  readonly settings: Pick<AgentSettings, 'lookTimeoutMs' | 'commands' | 'commandTimeoutMs'>;
  readonly look: () => Promise<Pick<LocalLook, 'connections' | 'users'>>;
  readonly run: Run;
}

export interface Orders {
  /** The answer to whatever was asked; an accepted order is carried out right after. */
  take(question: unknown): Promise<SleepAnswer>;
  /** Resolves when no order is being carried out. */
  idle(): Promise<void>;
}

const refuse = (...refusals: string[]): SleepAnswer => ({ accepted: false, refusals });

/**
 * Puts the machine to sleep when told, if the history says so too and a last look with its own eyes finds nothing
 * against it. One order at a time.
 */
export function createOrders(options: OrdersOptions): Orders {
  const { view, server, log, settings, clock } = options;
  let current: Promise<unknown> | undefined;

  const take = async (order: SleepOrder): Promise<SleepAnswer> => {
    const late = new AbortController();
    const cancel = clock.after(factTimeoutMs, () => late.abort());
    await view
      .when((fleet) => sleepForAgent(fleet, server) !== undefined, late.signal)
      .catch(() => undefined);
    cancel();
    const refusals = await lookUntilClear(options);
    const sleep = sleepForAgent(view.fleet, server);
    if (refusals.length > 0 || !sleep) {
      log.warn({ server, refusals }, 'sleep refused');
      return refuse(...refusals.map((refusal) => refusal.slice(0, 500)));
    }
    // The answer goes out first: the machine may be gone the moment after.
    clock.after(0, () => {
      current = carryOut(options, order, sleep.sleepId).finally(() => {
        current = undefined;
      });
    });
    log.info(
      { server, sleepId: sleep.sleepId, how: order.how, command: settings.commands[order.how] },
      'sleep',
    );
    return { accepted: true, refusals: [] };
  };
  return {
    async take(question) {
      if (!isSleepOrder(question)) return refuse('this agent does not know such an order');
      if (current) return refuse('another order is being carried out');
      const answer = take(question);
      const looking = answer.catch(() => undefined);
      current = looking;
      try {
        return await answer;
      } finally {
        if (current === looking) current = undefined;
      }
    },
    async idle() {
      await current;
    },
  };
}

/** Connections that were idle go within seconds of the drain; everything else that forbids is final. */
async function lookUntilClear(options: OrdersOptions): Promise<string[]> {
  const { view, server, controlPlane, nowMs, clock } = options;
  const endMs = clock.monotonicMs() + options.settings.lookTimeoutMs;
  await controlPlane.lookNow();
  const refusalsOf = (look: Pick<LocalLook, 'connections' | 'users'>) => {
    const whole = { ...look, unreachable: controlPlane.unreachable() };
    return agentSleepRefusals(view.fleet, server, controlPlane.liveness, whole, nowMs());
  };
  for (;;) {
    const look = await options.look();
    const refusals = refusalsOf(look);
    const wouldHelp = look.connections !== undefined && refusalsOf({ ...look, connections: 0 }).length === 0;
    if (refusals.length === 0 || !wouldHelp || clock.monotonicMs() >= endMs) return refusals;
    await pause(clock, lookIntervalMs);
  }
}

async function carryOut(options: OrdersOptions, order: SleepOrder, sleepId: string): Promise<void> {
  const { bus, log, server, settings, view } = options;
  const pool = view.fleet.servers[server]?.pool;
  try {
    // Called off in the very last moment.
    if (sleepForAgent(view.fleet, server)?.sleepId !== sleepId) throw new Error('the sleep was called off');
    await options.run(settings.commands[order.how], settings.commandTimeoutMs);
  } catch (error) {
    log.error({ server, sleepId, error: messageOf(error) }, 'order not carried out');
    if (pool === undefined) return;
    const data = { server, pool, sleepId, error: messageOf(error) };
    await bus
      .publish({ type: 'SleepOrderFailed', data }, { timeoutMs: publishTimeoutMs })
      .catch((problem) => log.warn({ error: messageOf(problem) }, 'failed order not told'));
  }
}
