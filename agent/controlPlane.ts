import type { Subscription } from '../libs/bus/mod.ts';
import {
  censusOf,
  type Liveness,
  nobodySeen,
  serverViewOf,
  validDecision,
  witness,
} from '../libs/domain/mod.ts';
import { loadFilterOf, subjectFilters } from '../libs/events/mod.ts';
import { messageOf } from '../libs/runtime/errors.ts';
import type { FleetView } from '../libs/runtime/fleetView.ts';
import { type Loop, startLoop } from '../libs/runtime/loop.ts';
import type { ServiceContext } from '../libs/runtime/service.ts';
import { nameOf, type Senses } from './senses.ts';
import type { AgentSettings } from './settings.ts';

/** Signs of life so old are read at the start. */
const livenessWindowMs = 15_000;

/** The control plane as seen from this server. */
export interface ControlPlane {
  readonly liveness: Liveness;
  /** What can't be reached from here now, in words. */
  unreachable(): string[];
  /** Tries every proxy now. */
  lookNow(): Promise<void>;
  stop(): Promise<void>;
}

export interface ControlPlaneOptions extends Pick<ServiceContext, 'bus' | 'log' | 'nowMs' | 'clock'> {
  readonly server: string;
  readonly view: FleetView;
  readonly settings: Pick<AgentSettings, 'proxies' | 'proxyTimeoutMs'>;
  readonly senses: Pick<Senses, 'tryProxy'>;
  readonly intervalMs: () => number;
}

/** Watches bus, planner, health service and proxies: the server's check of who checks it. */
export async function watchControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { bus, log, nowMs, view, server, settings } = options;
  let liveness: Liveness = nobodySeen;
  let followed: { readonly pool: string; readonly subscription: Subscription } | undefined;
  let dead: readonly string[] = settings.proxies.map((proxy) => `${nameOf(proxy)}: not tried yet`);

  const follow = (filter: string) =>
    bus.subscribe({
      stream: 'TELEMETRY',
      filter,
      startAt: { sinceMs: nowMs() - livenessWindowMs },
      onEvent: (event) => {
        liveness = witness(liveness, event);
      },
      onMalformed: (malformed) => log.warn(malformed, 'malformed event skipped'),
    });
  const health = await follow(subjectFilters.probe);
  const followPool = async () => {
    const pool = serverViewOf(view.fleet, server)?.state.pool;
    if (pool === undefined || pool === followed?.pool) return;
    await followed?.subscription.stop();
    liveness = { ...liveness, proxies: {} };
    followed = { pool, subscription: await follow(loadFilterOf(pool)) };
  };
  const tryProxies = async () => {
    const failures = await Promise.all(
      settings.proxies.map((proxy) => options.senses.tryProxy(proxy, settings.proxyTimeoutMs)),
    );
    dead = failures.filter((failure) => failure !== undefined);
  };
  const loop: Loop = startLoop({
    clock: options.clock,
    work: async () => {
      // Without the bus nobody can be followed; the proxies can still be tried.
      await Promise.all([bus.lostSinceMs === undefined ? followPool() : undefined, tryProxies()]);
    },
    delayMs: options.intervalMs,
    onError: (error) => log.warn({ error: messageOf(error) }, 'control plane not looked at'),
  });
  return {
    get liveness() {
      return liveness;
    },
    unreachable() {
      if (bus.lostSinceMs !== undefined) return ['the bus', ...dead.map((one) => `proxy ${one}`)];
      const known = serverViewOf(view.fleet, server);
      const bounds = view.fleet.config?.bounds;
      if (!known || !bounds) return ['a configuration that names this server'];
      const { pool } = known.state;
      const { live, missing } = censusOf(liveness, bounds.proxyLeaseMs, bounds.proxyGoneMs, nowMs());
      const healthSilent = nowMs() - (liveness.healthSeenMs ?? 0) > bounds.healthLeaseMs;
      return [
        ...(validDecision(view.fleet, pool, nowMs())
          ? []
          : [`the planner of ${pool}: no decision within its lease`]),
        ...(healthSilent ? ['the health service: silent on the bus'] : []),
        ...(live.length === 0 ? [`every proxy of ${pool}: silent on the bus`] : []),
        ...missing.map((proxy) => `proxy ${proxy}: silent on the bus`),
        ...dead.map((one) => `proxy ${one}`),
      ];
    },
    lookNow: tryProxies,
    async stop() {
      await loop.stop();
      await Promise.all([health.stop(), followed?.subscription.stop()]);
    },
  };
}
