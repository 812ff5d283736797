import {
  answerCounts,
  carriedCount,
  countProbe,
  factOfProbes,
  noProbes,
  type ProbeCount,
  type ProbePurpose,
  type ProbeWitness,
  probeDelayMs,
  probePurpose,
  proofOfSleep,
  type ServerState,
} from '../../libs/domain/mod.ts';
import type { Bounds, EventDraft, HealthCheckConfig, PoolConfig } from '../../libs/events/mod.ts';
import type { Clock } from '../../libs/runtime/clock.ts';
import { messageOf } from '../../libs/runtime/errors.ts';
import type { FleetView } from '../../libs/runtime/fleetView.ts';
import type { Logger } from '../../libs/runtime/log.ts';
import { startLoop } from '../../libs/runtime/loop.ts';
import type { Probe, ProbeResult } from '../../libs/runtime/probe.ts';
import type { Turns } from './turns.ts';

/** A fact about health is worth only so long; what the next probe says is newer. */
const publishTimeoutMs = 5_000;
/** How soon a server that is left alone is looked at again for a change that no event told of. */
const idleDelayMs = 5_000;

/** A probe of one address, made once and sent many times. */
export type MakeProbe = (url: string, config: HealthCheckConfig['probe']) => Probe;

export interface ProberOptions {
  readonly view: FleetView;
  readonly log: Logger;
  readonly nowMs: () => number;
  readonly clock: Clock;
  readonly makeProbe: MakeProbe;
  /** In [0, 1). */
  readonly random: () => number;
  /** Bounds the probes at once of all servers. */
  readonly turns: Turns;
  /** @param lateMs how much later than due it was sent. */
  readonly onProbe: (result: ProbeResult, lateMs: number) => void;
  /** Was a heartbeat of this server heard of late? */
  readonly speaks: (server: string) => boolean;
  /** False: another replica probes. */
  readonly leads: () => boolean;
  /** Is the probes' word against a server held back, because others are served well by it? */
  readonly holdsBack: (state: ServerState) => boolean;
}

export interface Prober {
  /** What the probes say by now: not one of them, but as many in a row as it takes. */
  readonly witness: ProbeWitness;
  /** Something about the server changed: look now if it is to be looked at otherwise than before. */
  nudge(): void;
  stop(): Promise<void>;
}

interface Known {
  readonly state: ServerState;
  readonly url: string;
  readonly pool: PoolConfig;
  readonly bounds: Bounds;
}

/** Probes one server for as long as it is configured, and publishes what that proves. */
export function startProber(server: string, options: ProberOptions): Prober {
  const { view, log, nowMs, clock } = options;
  let count: ProbeCount = noProbes;
  let counted: ProbePurpose = 'none';
  let silentSinceMs: number | undefined;
  let witness: ProbeWitness = 'none';
  /** When the next probe is due, by the monotonic clock. */
  let dueMs: number | undefined;
  const probes = createProbeCache(options.makeProbe);

  const known = (): Known | undefined => {
    const { config } = view.fleet;
    const state = view.fleet.servers[server];
    const settings = config?.servers[server];
    const pool = settings && config?.pools[settings.pool];
    return state && settings && pool && config
      ? { state, url: settings.url, pool, bounds: config.bounds }
      : undefined;
  };
  const purposeNow = (): ProbePurpose => {
    const now = options.leads() ? known() : undefined;
    return now ? probePurpose(now.state, nowMs()) : 'none';
  };
  const delayMs = () => {
    const now = known();
    const purpose = purposeNow();
    dueMs = undefined;
    if (!now || purpose === 'none') return idleDelayMs;
    const counts = carriedCount(count, counted, purpose);
    const delay = probeDelayMs(now.pool.healthCheck, purpose, counts, options.random());
    dueMs = clock.monotonicMs() + delay;
    return delay;
  };
  const ask = async ({ url, pool: { healthCheck } }: Known, purpose: ProbePurpose): Promise<ProbeResult> => {
    const { timeoutMs, liveness } = healthCheck;
    if (isQuiet(purpose)) return probes.of(url, connection)(timeoutMs);
    const ready = await probes.of(url, healthCheck.probe)(timeoutMs);
    if (ready.ok || liveness === undefined) return ready;
    const alive = await probes.of(url, liveness)(timeoutMs);
    const detail = `${ready.detail}; ${alive.ok ? 'alive' : 'not alive'}: ${alive.detail}`;
    return { ...ready, answered: alive.ok, detail };
  };
  const once = async () => {
    const before = known();
    const purpose = purposeNow();
    if (purpose !== counted) silentSinceMs = undefined;
    count = carriedCount(count, counted, purpose);
    if (purpose === 'none') witness = 'none';
    counted = purpose;
    if (!before || purpose === 'none') return;
    const { healthCheck } = before.pool;
    let lateMs = 0;
    let askedAtMs = clock.monotonicMs();
    const result = await options.turns.take(() => {
      lateMs = dueMs === undefined ? 0 : Math.max(0, clock.monotonicMs() - dueMs);
      askedAtMs = clock.monotonicMs();
      return ask(before, purpose);
    }, before.bounds.maxConcurrentProbes);
    options.onProbe(result, lateMs);
    const after = known();
    // What the server was asked as does not hold any more: the answer is about another life of it.
    if (!after || after.state.lifecycle !== before.state.lifecycle) return;
    if (!answerCounts(result.ok, purpose, purposeNow())) return;
    count = countProbe(count, result.ok);
    silentSinceMs = result.answered ? undefined : (silentSinceMs ?? askedAtMs);
    witness = witnessOf(witness, count, result, healthCheck.fall);
    if (count.bad >= healthCheck.fall && options.holdsBack(after.state)) return;
    const heard = {
      silentForMs: clock.monotonicMs() - (silentSinceMs ?? clock.monotonicMs()),
      speaks: options.speaks(server),
    };
    const fact = factOf(after, purpose, count, result, heard, nowMs());
    if (fact && (await view.record(fact, publishTimeoutMs)))
      log.info({ server, detail: result.detail }, fact.type);
  };
  const loop = startLoop({
    clock,
    work: once,
    delayMs,
    onError: (error) => log.warn({ server, error: messageOf(error) }, 'health fact not stored'),
  });
  return {
    get witness() {
      return witness;
    },
    nudge: () => {
      if (purposeNow() !== counted) loop.wakeUp();
    },
    stop: () => loop.stop(),
  };
}

const connection = { kind: 'tcp' } as const;

/** Silence is asked for, not service: whether anything takes a connection. */
function isQuiet(purpose: ProbePurpose): boolean {
  return purpose === 'sleepProof' || purpose === 'watch';
}

/** Probes are made once and sent many times; a changed configuration makes new ones. */
function createProbeCache(makeProbe: MakeProbe) {
  const known = new Map<HealthCheckConfig['probe'], { readonly url: string; readonly probe: Probe }>();
  return {
    of(url: string, config: HealthCheckConfig['probe']): Probe {
      const same = known.get(config);
      if (same?.url === url) return same.probe;
      if (known.size > maxCachedProbes) known.clear();
      const probe = makeProbe(url, config);
      known.set(config, { url, probe });
      return probe;
    },
  };
}
const maxCachedProbes = 8;

/** One bad probe is no word yet; one good one is. */
function witnessOf(before: ProbeWitness, count: ProbeCount, result: ProbeResult, fall: number): ProbeWitness {
  if (result.ok) return 'good';
  if (count.bad < fall && (before === 'good' || before === 'none')) return before;
  return result.answered ? 'bad' : 'silent';
}

function factOf(
  { state, pool, bounds }: Known,
  purpose: ProbePurpose,
  count: ProbeCount,
  result: ProbeResult,
  heard: { readonly silentForMs: number; readonly speaks: boolean },
  nowMs: number,
): EventDraft | undefined {
  const about = { server: state.name, pool: state.pool };
  if (isQuiet(purpose)) {
    const { silentForMs, speaks } = heard;
    const spoke = result.answered || speaks;
    const proof = proofOfSleep(state, silentForMs, spoke, bounds, nowMs);
    const power = state.powerInferred
      ? `no power to read; ${spoke ? 'not silent' : `silent for ${silentForMs} ms`}`
      : 'hardware off';
    const heartbeat = state.heartbeat ? `; heartbeat: ${speaks ? 'heard' : 'silent'}` : '';
    const evidence = `${power}; probe: ${result.detail}${heartbeat}`;
    return proof && { ...proof, data: { ...about, evidence } };
  }
  const fact = factOfProbes(state, count, pool.healthCheck, bounds, nowMs);
  if (!fact) return undefined;
  const { type, consecutive } = fact;
  const trace = state.wake?.traceparent ? { traceparent: state.wake.traceparent } : {};
  switch (type) {
    case 'ServerBecameHealthy':
      return { type, data: { ...about, latencyMs: result.latencyMs, consecutive }, ...trace };
    case 'EjectionLifted':
      return { type, data: { ...about, consecutive } };
    case 'ServerBecameUnhealthy':
    case 'EjectionConfirmed':
      return { type, data: { ...about, reason: result.detail, consecutive } };
  }
}
