import type { EventDraft, FleetConfig } from '../../libs/events/mod.ts';
import { parseConfig, readConfigFile } from '../../libs/runtime/config.ts';
import type { Machines } from './machines.ts';
import type { OwnRun } from './messages.ts';

const reason = 'the machines are held awake by the trial';
const by = 'trial';
/** A server that was just woken is at most so much of a share of the capacity loaded before the series begins. */
const leadInShare = 0.2;
const leadInRps = 30;
/** Waking never goes on for longer, however many machines there are. */
const longestReadyTimeoutMs = 2 * 3_600_000;
const spareMs = 60_000;

/** What the environment says to the services of production, and would bind their ports or ask for their bus. */
const notForTheTrial: NodeJS.ProcessEnv = {
  NEMURI_TLS_LISTEN: undefined,
  NEMURI_TLS_CERTIFICATES: undefined,
  NEMURI_TLS_KEYS: undefined,
  NEMURI_HEARTBEAT_LISTEN: undefined,
  NEMURI_NATS_REPLICAS: undefined,
};

/** The machines of the user's, as the configuration at `configFile` has them: one pool. @throws Error when it is not valid. */
export async function takeOwnMachines({ configFile, url, readyTimeoutMs }: OwnRun): Promise<Machines> {
  const parsed = parseConfig(await readConfigFile(configFile), { file: configFile });
  if (!parsed.ok) throw new Error(`${configFile} is not valid any more`);
  const { config } = parsed;
  const [pool = '', settings] = Object.entries(config.pools)[0] ?? [];
  const names = Object.keys(config.servers);
  const capacityRps = Object.values(config.servers).reduce((sum, server) => sum + server.capacityRps, 0);
  const { host, pathname, search } = new URL(url);
  const held: EventDraft[] = [
    { type: 'TargetPinned', data: { pool, servers: names.length, reason, by } },
    { type: 'PlannerPaused', data: { pool, reason, by } },
  ];
  const released: EventDraft[] = [
    { type: 'TargetUnpinned', data: { pool, reason: 'the load begins', by } },
    { type: 'PlannerResumed', data: { pool, reason: 'the load begins', by } },
  ];
  return {
    pool,
    names,
    configFile,
    env: notForTheTrial,
    streamLimits: {},
    maxMeterGapMs: config.costs.maxMeterGapMs,
    load: {
      path: `${pathname}${search}`,
      host,
      capacityRps,
      latencyObjectiveMs: settings?.latencyObjectiveMs ?? 0,
      leastLeadInRps: Math.min(leadInRps, leadInShare * capacityRps),
    },
    held,
    released,
    readyTimeoutMs,
    wakesAtEnd: true,
    rack: undefined,
  };
}

/** Until all of them are awake: each rung of each ladder fails at its longest, so many at a time as may boot at once. */
export function readyTimeoutOf({ servers, bounds }: FleetConfig): number {
  const all = Object.values(servers);
  const longest = Math.max(
    ...all.map(({ wakeTimeoutMs, power }) => wakeTimeoutMs * Math.max(1, power.length)),
  );
  const turns = Math.ceil(all.length / bounds.maxConcurrentWakes);
  return Math.min(longestReadyTimeoutMs, longest * turns + spareMs);
}
