import { formatAgentCheck, type Saying, sayingOf, serverViewOf } from '../libs/domain/mod.ts';
import { pause } from '../libs/runtime/clock.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import { openFleetView } from '../libs/runtime/fleetView.ts';
import { startLoop } from '../libs/runtime/loop.ts';
import { fleetReadiness, type RunningService, type ServiceContext } from '../libs/runtime/service.ts';
import { answerAgentChecks } from './agentCheck.ts';
import { watchControlPlane } from './controlPlane.ts';
import { createOrders, type Run, runProgram } from './orders.ts';
import { kernelSenses, type Senses } from './senses.ts';
import type { AgentSettings } from './settings.ts';
import { type KernelFolders, kernelFolders } from './vitals.ts';

/** A shutdown that can't be told in this time is not told: the machine does not wait. */
const announceTimeoutMs = 2_000;
/** The proxies need this long to hear of a shutdown, connections or none. */
const hearTimeMs = 250;
const idleIntervalMs = 2_000;

export interface AgentDependencies {
  readonly folders?: KernelFolders;
  readonly senses?: Senses;
  readonly run?: Run;
}

export interface RunningAgent extends RunningService {
  /** Where HAProxy may ask, once it listens. */
  readonly checkPort: number | undefined;
  /**
   * Says that the machine goes down, and waits until the connections to its service are gone, at most
   * `shutdownWaitMs`. Idempotent.
   */
  announceShutdown(reason: string): Promise<void>;
}

/**
 * What runs on a server: says how it is, answers for it, watches who watches it, and puts it to sleep when the
 * history and its own eyes agree. The service's name is the server's.
 */
export async function startAgent(
  context: ServiceContext,
  settings: AgentSettings,
  {
    folders = kernelFolders,
    senses = kernelSenses(folders, settings.wishFile, context.clock),
    run = runProgram,
  }: AgentDependencies = {},
): Promise<RunningAgent> {
  const { bus, log, nowMs, clock } = context;
  const server = context.settings.name;
  const bootId = await senses.bootId();
  const view = await openFleetView({
    bus,
    name: 'health',
    readOnly: true,
    onProblem: (problem, details) => log.warn(details, problem),
  });
  const intervalMs = () => view.fleet.config?.bounds.heartbeatIntervalMs ?? idleIntervalMs;
  const about = () => {
    const pool = serverViewOf(view.fleet, server)?.state.pool;
    return pool === undefined ? undefined : { server, pool };
  };
  const controlPlane = await watchControlPlane({
    bus,
    log,
    nowMs,
    clock,
    server,
    view,
    settings,
    senses,
    intervalMs,
  });
  let saying: Saying = { wish: 'ready' };
  let heartbeat = 0;
  let shuttingDown: Promise<void> | undefined;

  const connections = async () => {
    const url = serverViewOf(view.fleet, server)?.config.url;
    return url === undefined ? undefined : senses.connectionsOn(portOf(url));
  };
  const beat = async () => {
    const [vitals, wished] = await Promise.all([senses.vitals(), senses.wish()]);
    saying = wished;
    const known = about();
    if (!known || bus.lostSinceMs !== undefined) return;
    heartbeat += 1;
    const unreachable = controlPlane.unreachable().slice(0, 64);
    const data = {
      ...known,
      via: 'agent',
      bootId,
      heartbeat,
      ...sayingOf(saying),
      shuttingDown: shuttingDown !== undefined,
      ...vitals,
      unreachable: unreachable.map((what) => what.slice(0, 200)),
    } as const;
    await bus.publish({ type: 'HeartbeatSent', data }, { timeoutMs: intervalMs() });
  };
  const heart = startLoop({
    clock,
    work: beat,
    delayMs: intervalMs,
    onError: (error) => log.debug({ error: messageOf(error) }, 'heartbeat dropped'),
  });
  const orders = createOrders({
    bus,
    log,
    nowMs,
    clock,
    server,
    view,
    controlPlane,
    settings,
    run,
    look: async () => ({
      connections: await connections(),
      users: settings.users === 'ignore' ? 0 : await senses.usersLoggedIn(),
    }),
  });
  const answering = await bus.answer(server, (question) => orders.take(question));
  const checks =
    settings.checkListen &&
    (await answerAgentChecks(settings.checkListen, () =>
      formatAgentCheck(saying, shuttingDown !== undefined),
    ));

  const announce = async (reason: string) => {
    const known = about();
    if (!known) return;
    const endMs = clock.monotonicMs() + settings.shutdownWaitMs;
    const told = await bus
      .publish(
        { type: 'ServerShutdownAnnounced', data: { ...known, bootId, reason } },
        { timeoutMs: Math.min(announceTimeoutMs, settings.shutdownWaitMs) },
      )
      .then(() => true)
      .catch((error) => log.warn({ error: messageOf(error) }, 'shutdown not announced'));
    if (told !== true) return;
    log.info({ server, reason }, 'shutdown announced');
    await pause(clock, Math.min(hearTimeMs, settings.shutdownWaitMs));
    while (clock.monotonicMs() < endMs && (await connections()) !== 0) await pause(clock, hearTimeMs / 5);
  };
  const announceShutdown = (reason: string) => {
    shuttingDown ??= announce(reason);
    return shuttingDown;
  };
  const address = checks?.address();
  return {
    fleet: () => view.fleet,
    notReady: () =>
      fleetReadiness(view.fleet, bus) ?? (about() ? undefined : `no server ${server} is configured`),
    checkPort: typeof address === 'object' ? address?.port : undefined,
    announceShutdown,
    async stop() {
      if (settings.announceOnStop) void announceShutdown('its agent was told to stop');
      await shuttingDown;
      await answering.stop();
      checks?.close();
      await heart.stop();
      await orders.idle();
      await controlPlane.stop();
      await view.close();
    },
  };
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port || (protocol === 'https:' ? 443 : 80));
}
