import {
  capacityRpsOf,
  chooseServer,
  earnRetry,
  expectedReadyInMs,
  fullRetryBudget,
  hashOf,
  inFlightLimit,
  peakEwmaMs,
  type ServerState,
  type ServerView,
  slowStartShare,
  spendRetry,
  takesRequests,
  wishedCapacityRps,
} from '../../libs/domain/mod.ts';
import type { PoolConfig } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import { ProblemError } from '../../libs/runtime/errors.ts';
import { type EjectionCase, ejectedUntilMs } from './ejection.ts';
import { createMeter, createPoolMeter, type Meter, type PoolMeter } from './load.ts';
import { createParking, type Parking, type ParkOptions } from './parking.ts';
import type { UpstreamClient } from './upstream/client.ts';
import { openUpstreamClient } from './upstream/open.ts';

/** One server as this proxy knows it: its connections, what it has in flight there, what it measured. */
export interface Upstream {
  readonly name: string;
  url: string;
  connections: UpstreamClient;
  readonly meter: Meter;
  /** Its weight now: less than its capacity while it starts slowly. */
  capacityRps: number;
  nominalRps: number;
  wattsPerRps: number;
  readonly nameHash: number;
  /** Peak EWMA of its latency, and when it was taken. */
  latencyMs: number;
  latencyAtMs: number;
  /** Epoch ms of its return; undefined: it has its full weight. */
  returnedAtMs: number | undefined;
  maxInFlight?: number;
  inFlight: number;
  takesRequests: boolean;
  /** Epoch ms until when it gets nothing new, because it could not be reached or failed again and again. */
  ejectedUntilMs: number;
  /** Epoch ms of the last ejection that was told to others. */
  ejectionToldMs: number;
  /** Epoch ms of the last ejection that health lifted. */
  liftedAtMs: number | undefined;
  /** Failures in a row. */
  failures: number;
  /** When its last answer began, by the monotonic clock, in ms. */
  answeredAtMs: number;
  /** Answers that last (event streams, gRPC): each closes the protocol's way. */
  readonly streams: Set<() => void>;
}

/** The door to one pool: every request comes in here, gets a server or waits for one, and goes out here. */
export interface Gate {
  readonly pool: string;
  readonly config: PoolConfig;
  readonly meter: PoolMeter;
  readonly parking: Parking<Upstream>;
  readonly upstreams: readonly Upstream[];
  /** Servers that the configuration has taken away, while requests are still in flight on them. */
  readonly leaving: readonly Upstream[];
  /** Requests that wait, those of people whose page asks again soon included: one of them stands for all. */
  readonly parkedCount: number;
  /** No server takes requests: those that come have to wait for a wake. */
  readonly asleep: boolean;
  /** Ms until a server is likely to serve; undefined: nothing is known. */
  readyInMs(): number | undefined;
  /** Somebody waits outside and asks again within this time. */
  expectReturn(withinMs: number): void;
  /** A server with a request counted as in flight on it; undefined: the request has to be parked. */
  take(keyHash?: number, sticky?: number): Upstream | undefined;
  /** Whether the server of this name's hash takes requests, full or not. */
  isOpen(nameHash: number): boolean;
  /**
   * Waits for a server.
   * @throws ProblemError when the bounds refuse it, when it waited too long, or when the proxy stops.
   */
  park(options: ParkOptions): Promise<Upstream>;
  /** An answer took so long. */
  learn(upstream: Upstream, latencyMs: number): void;
  /**
   * Whether one more retry of what a server may have seen is within the bounds; it is spent then.
   * @param again this request has a place among the retries under way.
   */
  beginRetry(again: boolean): boolean;
  endRetry(): void;
  /** The request is over on this server. */
  release(upstream: Upstream): void;
  /** It could not be reached, or failed: it may get nothing new for a while. @returns until when, if this is news. */
  eject(upstream: Upstream, why: EjectionCase['why']): number | undefined;
  /** Takes over what configuration and fleet say now. */
  update(config: PoolConfig, servers: readonly ServerView[]): void;
  close(): void;
}

export interface GateOptions {
  readonly pool: string;
  readonly config: PoolConfig;
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Nothing is in flight on this server any more. */
  readonly onIdle: (server: string) => void;
}

/** Nine of ten setups were no slower than what people are told. */
const setupQuantile = 0.9;
const unlimited = Number.POSITIVE_INFINITY;

export function createGate(options: GateOptions): Gate {
  const { pool, config: firstConfig, nowMs, clock, random, onIdle } = options;
  let config = firstConfig;
  let turn = 0;
  let upstreams: Upstream[] = [];
  let leaving: Upstream[] = [];
  let cancelRetry: (() => void) | undefined;
  let states: readonly ServerState[] = [];
  let returnUntilMs = 0;
  let ramping = false;
  let retries = fullRetryBudget;
  let retriesUnderWay = 0;
  const parking = createParking<Upstream>(nowMs, clock);
  const meter = createPoolMeter();

  const targetOf = (capacityRps: number) =>
    Math.max(1, (config.balancing.packTarget * capacityRps * config.latencyObjectiveMs) / 1_000);
  const ramp = () => {
    const timeMs = nowMs();
    ramping = false;
    for (const upstream of upstreams) {
      if (upstream.returnedAtMs === undefined) continue;
      const share = slowStartShare(timeMs - upstream.returnedAtMs, config.balancing.slowStartMs);
      upstream.capacityRps = share * upstream.nominalRps;
      if (share < 1) ramping = true;
      else upstream.returnedAtMs = undefined;
    }
  };
  const take = (limitOf: (upstream: Upstream) => number, keyHash?: number): Upstream | undefined => {
    turn = (turn + 1) % 0x40000000;
    if (ramping) ramp();
    const choice = { turn, random, keyHash, targetOf };
    const chosen = chooseServer(config.balancing.policy, upstreams, choice, limitOf);
    if (chosen) chosen.inFlight += 1;
    return chosen;
  };
  const isOpen = (upstream: Upstream) =>
    upstream.takesRequests && (upstream.ejectedUntilMs === 0 || upstream.ejectedUntilMs <= nowMs());
  const bySticky = (nameHash: number) => upstreams.find((upstream) => upstream.nameHash === nameHash);
  const limitOf = (upstream: Upstream) => {
    if (!isOpen(upstream) || upstream.connections.pending >= config.circuit.maxPending) return 0;
    return Math.min(upstream.maxInFlight ?? unlimited, config.circuit.maxConnections);
  };
  /**
   * What a server that has just come back can take at once: by Little's law, what it has in flight when it serves
   * its capacity within the latency objective. The whole crowd at once would bring it down again.
   */
  const releaseLimit = (upstream: Upstream) => {
    const limit = limitOf(upstream);
    if (limit === 0) return 0;
    const atCapacity = Math.max(1, Math.ceil((upstream.nominalRps * config.latencyObjectiveMs) / 1_000));
    return upstream.maxInFlight === undefined ? Math.min(limit, atCapacity) : limit;
  };
  const releaseParked = () => {
    if (parking.count === 0) return;
    parking.release(() => take(releaseLimit));
    if (parking.count === 0) return;
    // An ejection ends by time alone; nobody else would look again.
    const endsMs = upstreams.map((upstream) => upstream.ejectedUntilMs).filter((endMs) => endMs > nowMs());
    cancelRetry?.();
    if (endsMs.length > 0) cancelRetry = clock.after(Math.min(...endsMs) - nowMs() + 1, releaseParked);
  };

  return {
    pool,
    parking,
    meter,
    get config() {
      return config;
    },
    get upstreams() {
      return upstreams;
    },
    get leaving() {
      return leaving;
    },
    get parkedCount() {
      return Math.max(parking.count, nowMs() < returnUntilMs ? 1 : 0);
    },
    get asleep() {
      return !upstreams.some((upstream) => upstream.takesRequests);
    },
    readyInMs: () => expectedReadyInMs(states, nowMs(), setupQuantile),
    expectReturn(withinMs) {
      returnUntilMs = Math.max(returnUntilMs, nowMs() + withinMs);
    },
    take(keyHash, sticky) {
      retries = earnRetry(retries, config.balancing.retryShare, nowMs());
      if (parking.count > 0) return undefined;
      const own = sticky === undefined ? undefined : bySticky(sticky);
      if (!own || own.inFlight >= limitOf(own)) return take(limitOf, keyHash);
      own.inFlight += 1;
      return own;
    },
    isOpen(nameHash) {
      const upstream = bySticky(nameHash);
      return upstream !== undefined && isOpen(upstream);
    },
    learn(upstream, latencyMs) {
      const timeMs = nowMs();
      upstream.latencyMs = peakEwmaMs(upstream.latencyMs, latencyMs, timeMs - upstream.latencyAtMs);
      upstream.latencyAtMs = timeMs;
    },
    beginRetry(again) {
      if (!again && retriesUnderWay >= config.circuit.maxRetries) return false;
      const left = spendRetry(retries);
      if (!left) return false;
      retries = left;
      if (!again) retriesUnderWay += 1;
      return true;
    },
    endRetry() {
      retriesUnderWay -= 1;
    },
    park(options) {
      meter.newlyParked += 1;
      return parking.park(options, config.parking);
    },
    release(upstream) {
      upstream.inFlight -= 1;
      releaseParked();
      if (upstream.inFlight > 0) return;
      if (leaving.length > 0) leaving = leaving.filter((other) => other !== upstream);
      onIdle(upstream.name);
    },
    eject(upstream, why) {
      const timeMs = nowMs();
      upstream.failures += 1;
      const { ejectAfterFailures } = config.circuit;
      const isEnough =
        ejectAfterFailures > 0 && (why === 'silent' || upstream.failures >= ejectAfterFailures);
      if (timeMs < upstream.ejectedUntilMs || (why !== 'unreachable' && !isEnough)) return undefined;
      const others = upstreams.filter((other) => other !== upstream && other.takesRequests);
      const ejected = others.filter((other) => timeMs < other.ejectedUntilMs).length;
      const untilMs = ejectedUntilMs({ why, takers: others.length + 1, ejected }, config, timeMs);
      if (untilMs === undefined) return undefined;
      upstream.ejectedUntilMs = untilMs;
      upstream.failures = 0;
      if (timeMs - upstream.ejectionToldMs < config.forwarding.ejectMs) return undefined;
      upstream.ejectionToldMs = timeMs;
      return untilMs;
    },
    update(nextConfig, servers) {
      const reconnect = JSON.stringify(nextConfig.forwarding) !== JSON.stringify(config.forwarding);
      config = nextConfig;
      states = servers.map(({ state }) => state);
      const known = new Map([...leaving, ...upstreams].map((upstream) => [upstream.name, upstream]));
      upstreams = servers.map((server) => {
        const before = known.get(server.state.name);
        known.delete(server.state.name);
        if (!before) return refresh(openUpstream(server, config), server);
        if (before.url !== server.config.url || reconnect || leaving.includes(before)) {
          // What is in flight ends on the old connections, and still counts as this server's.
          before.connections.close();
          before.url = server.config.url;
          before.connections = openUpstreamClient(server.config.url, config.forwarding);
        }
        return refresh(before, server);
      });
      ramping = upstreams.some(({ returnedAtMs }) => returnedAtMs !== undefined);
      for (const gone of known.values()) gone.connections.close();
      // It may come back, and be put to sleep, before they are answered.
      leaving = [...known.values()].filter(({ inFlight }) => inFlight > 0);
      releaseParked();
    },
    close() {
      cancelRetry?.();
      parking.refuseAll(new ProblemError('NEMURI_STOPPING', 'Try again.', 1));
      // What is in flight comes to its end.
      for (const upstream of upstreams) upstream.connections.close();
    },
  };
}

function openUpstream({ state, config }: ServerView, pool: PoolConfig): Upstream {
  return {
    name: state.name,
    url: config.url,
    connections: openUpstreamClient(config.url, pool.forwarding),
    meter: createMeter(),
    capacityRps: config.capacityRps,
    nominalRps: config.capacityRps,
    wattsPerRps: 0,
    nameHash: hashOf(state.name),
    latencyMs: 0,
    latencyAtMs: 0,
    returnedAtMs: undefined,
    inFlight: 0,
    takesRequests: false,
    ejectedUntilMs: 0,
    ejectionToldMs: 0,
    answeredAtMs: 0,
    liftedAtMs: undefined,
    failures: 0,
    streams: new Set(),
  };
}

function refresh(upstream: Upstream, { state, pool, config }: ServerView): Upstream {
  const capacityRps = capacityRpsOf(state, pool, config);
  upstream.capacityRps = wishedCapacityRps(state, capacityRps);
  upstream.nominalRps = upstream.capacityRps;
  upstream.wattsPerRps = config.energy.busyWatts / capacityRps;
  const limit = inFlightLimit(state, config.maxInFlight);
  if (limit === undefined) delete upstream.maxInFlight;
  else upstream.maxInFlight = limit;
  // Health has seen it answer since: what a connection said before does not count any more.
  const isLifted = state.ejectionLiftedAtMs !== upstream.liftedAtMs;
  if (isLifted || (takesRequests(state) && !upstream.takesRequests)) upstream.ejectedUntilMs = 0;
  upstream.liftedAtMs = state.ejectionLiftedAtMs;
  upstream.returnedAtMs = state.healthyAtMs ?? 0;
  upstream.takesRequests = takesRequests(state);
  return upstream;
}
