import { breakEvenMs } from './energy.ts';
import type { ServerView } from './fleet.ts';
import type { Lifecycle } from './server.ts';

/** A wake that takes longer than this many setup times is not counted on: a substitute is woken. */
const overdueSetupTimes = 1.5;
/** A wake's energy counts as spread over so many break-even times when a server that sleeps is compared. */
const repaidBreakEvens = 3;
/** Watts by which a server in this lifecycle is passed over for one that is ready; what sleeps pays its own wake. */
const inconvenienceWatts: Readonly<Record<Lifecycle, number>> = {
  ready: 0,
  waking: 1,
  draining: 2,
  asleep: 3,
  stopping: 13,
  failed: 10_000,
  quarantined: 10_000,
};

/** The longest of the last measured setup times, or what the config says while there is none; in ms. */
export function expectedSetupMs(server: ServerView): number {
  const measured = server.state.setupTimesMs;
  return measured.length > 0 ? Math.max(...measured) : server.config.energy.setupTimeMs;
}

export function canBeChosen({ state }: ServerView, nowMs: number): boolean {
  if (state.cordoned) return false;
  if (nowMs < (state.quarantinedUntilMs ?? 0)) return false;
  const shouldServe = state.lifecycle === 'ready' || state.lifecycle === 'draining';
  return !shouldServe || state.health === 'healthy';
}

/** Is this server's capacity there, or will it be in its setup time? An overdue or stumbling wake is not counted. */
export function counts(server: ServerView, nowMs: number): boolean {
  const { state } = server;
  if (state.lifecycle === 'failed' || state.lifecycle === 'quarantined') return false;
  if (state.lifecycle !== 'waking') return true;
  return !state.wake?.attemptFailed && nowMs - state.sinceMs <= expectedSetupMs(server) * overdueSetupTimes;
}

/**
 * The servers, those first that serve most cheaply: watts at full load for each request/s; to wake one costs its setup
 * energy, so one that sleeps is taken for one that is awake only when it is cheaper by as much.
 */
export function inOrderOfCost(servers: readonly ServerView[]): ServerView[] {
  return servers
    .map((server) => ({ server, cost: costOf(server) }))
    .sort((a, b) => a.cost - b.cost || (a.server.state.name < b.server.state.name ? -1 : 1))
    .map(({ server }) => server);
}

function costOf({ state, config }: ServerView): number {
  const { energy, capacityRps } = config;
  const mustBeWoken = state.lifecycle === 'asleep' || state.lifecycle === 'stopping';
  const repaidMs = repaidBreakEvens * breakEvenMs(energy);
  const wakeWatts = mustBeWoken && repaidMs > 0 ? (energy.setupWatts * energy.setupTimeMs) / repaidMs : 0;
  const failedWatts = 1_000 * state.failedWakes;
  return (energy.busyWatts + wakeWatts + inconvenienceWatts[state.lifecycle] + failedWatts) / capacityRps;
}

export interface Need {
  readonly rps: number;
  /** Servers, however little they would have to do. */
  readonly minimum: number;
}

/** The first servers of the order that together meet the need; one that can't be counted on is taken, not counted. */
export function pick(order: readonly ServerView[], need: Need, nowMs: number): ServerView[] {
  const chosen: ServerView[] = [];
  let capacityRps = 0;
  let counted = 0;
  for (const server of order) {
    if (counted >= need.minimum && capacityRps >= need.rps) break;
    chosen.push(server);
    if (!counts(server, nowMs)) continue;
    counted += 1;
    capacityRps += server.config.capacityRps;
  }
  return chosen;
}

export function withSpares(
  chosen: readonly ServerView[],
  order: readonly ServerView[],
  spareServers: number,
): ServerView[] {
  const known = new Set(chosen);
  return [...chosen, ...order.filter((server) => !known.has(server)).slice(0, spareServers)];
}

export function union(chosen: readonly ServerView[], others: readonly ServerView[]): ServerView[] {
  const known = new Set(chosen);
  return [...chosen, ...others.filter((server) => !known.has(server) && !server.state.cordoned)];
}

/** Known to be on, or on its way: one that nobody has looked at yet may be off, and is not woken for that. */
export function isAwake({ state }: ServerView): boolean {
  if (state.lifecycle === 'waking') return state.wake !== undefined || state.powerState === 'on';
  return state.lifecycle === 'ready' || state.lifecycle === 'draining';
}

/** A machine that draws as much asleep as idle is left on. */
export function isWorthSleeping({ config }: ServerView): boolean {
  return Number.isFinite(breakEvenMs(config.energy));
}

export function capacityOf(servers: readonly ServerView[]): number {
  return servers.reduce((sum, server) => sum + server.config.capacityRps, 0);
}
