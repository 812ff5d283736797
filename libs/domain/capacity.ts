import type { DraftOf, PoolConfig, ServerConfig } from '../events/mod.ts';
import type { ServerState } from './server.ts';

/**
 * Requests/s that a server sustains within its pool's latency objective: what was learned, as long as the configured
 * figure it began from still stands; else the configured one.
 */
export function capacityRpsOf(state: ServerState, pool: PoolConfig, config: ServerConfig): number {
  const { learnedCapacity } = state;
  const isValid = pool.planner.learnCapacity && learnedCapacity?.configuredRps === config.capacityRps;
  return isValid ? learnedCapacity.capacityRps : config.capacityRps;
}

/** What one proxy sent to one server in `intervalMs`. */
export interface ServedSample {
  readonly timeMs: number;
  readonly intervalMs: number;
  readonly completed: number;
  readonly failed: number;
  readonly p95Ms: number;
}

export type CapacityLearned = Omit<DraftOf<'ServerCapacityLearned'>['data'], 'server' | 'pool'>;

export interface CapacityLearner {
  /**
   * Takes a sample in.
   * @param known what the server counts with now and what is configured, in requests/s, and the latency objective.
   * @returns the capacity when it is another one now.
   */
  observe(sample: ServedSample, known: CapacityKnown): CapacityLearned | undefined;
  /** What it saw is of another time: it has been asleep, ill or starting slowly. */
  forget(): void;
}

export interface CapacityKnown {
  readonly capacityRps: number;
  readonly configuredRps: number;
  readonly latencyObjectiveMs: number;
}

/** A window long enough that its 95th percentile is not chance; so many in a row say something. */
const windowMs = 10_000;
const leastCompleted = 50;
const windowsInARow = 3;
/** Slow at less than this share of its capacity is slow for another reason than load. */
const loadedShare = 0.5;
/** A server that answers within this share of the objective has room. */
const easyShare = 0.8;
const mostFailed = 0.05;
/** One step down or up is at most this; all of them together stay within these shares of what is configured. */
const mostDown = 0.7;
const mostUp = 1.1;
const range = { least: 0.2, most: 3 };
/** What a server yields beyond its knee is somewhat more than what it sustains within the objective. */
const kneeShare = 0.95;
/** A smaller change is not worth a fact. */
const leastChange = 0.03;

interface Window {
  readonly rps: number;
  readonly p95Ms: number;
  readonly kind: 'tooSlow' | 'easy' | 'neither';
}

/**
 * Finds the knee of a server: the rate beyond which its latency leaves the objective. Three windows in a row that are
 * too slow under load lower the capacity to what was got through; three in a row above it, well within the objective,
 * raise it to what was proven. Nothing is extrapolated: beyond the knee a curve is not what it was before.
 */
export function createCapacityLearner(): CapacityLearner {
  let startMs: number | undefined;
  let completed = 0;
  let failed = 0;
  let slownessMs = 0;
  let windows: Window[] = [];

  const begin = (timeMs: number | undefined) => {
    startMs = timeMs;
    completed = 0;
    failed = 0;
    slownessMs = 0;
  };
  const close = (endMs: number, known: CapacityKnown): CapacityLearned | undefined => {
    const rps = ((completed - failed) * 1_000) / (endMs - (startMs ?? endMs));
    const p95Ms = slownessMs / Math.max(1, completed);
    const says = completed >= leastCompleted && failed <= mostFailed * completed;
    const kind = says ? kindOf(rps, p95Ms, known) : 'neither';
    begin(endMs);
    windows = [...windows.filter((window) => window.kind === kind), { rps, p95Ms, kind }].slice(
      -windowsInARow,
    );
    if (kind === 'neither' || windows.length < windowsInARow) return undefined;
    const learned = learnedFrom(windows, kind, known);
    if (Math.abs(learned.capacityRps / known.capacityRps - 1) < leastChange) return undefined;
    windows = [];
    return learned;
  };
  return {
    observe(sample, known) {
      startMs ??= sample.timeMs - sample.intervalMs;
      completed += sample.completed;
      failed += sample.failed;
      slownessMs += sample.p95Ms * sample.completed;
      return sample.timeMs - startMs >= windowMs ? close(sample.timeMs, known) : undefined;
    },
    forget() {
      begin(undefined);
      windows = [];
    },
  };
}

function kindOf(rps: number, p95Ms: number, known: CapacityKnown): Window['kind'] {
  const { capacityRps, latencyObjectiveMs } = known;
  if (p95Ms > latencyObjectiveMs) return rps >= loadedShare * capacityRps ? 'tooSlow' : 'neither';
  return rps > capacityRps && p95Ms <= easyShare * latencyObjectiveMs ? 'easy' : 'neither';
}

function learnedFrom(
  windows: readonly Window[],
  kind: 'tooSlow' | 'easy',
  { capacityRps, configuredRps, latencyObjectiveMs }: CapacityKnown,
): CapacityLearned {
  const proven = Math.min(...windows.map(({ rps }) => rps));
  const wanted =
    kind === 'easy'
      ? Math.min(proven, mostUp * capacityRps)
      : Math.max(kneeShare * proven, mostDown * capacityRps);
  const bounded = Math.max(range.least * configuredRps, Math.min(range.most * configuredRps, wanted));
  const learnedRps = Number(bounded.toPrecision(3));
  const p95Ms = Math.round(Math.max(...windows.map((window) => window.p95Ms)));
  const seconds = (windowsInARow * windowMs) / 1_000;
  const seen = `${Number(proven.toPrecision(3))} requests/s for ${seconds} s at a 95th percentile up to ${p95Ms} ms`;
  const judged = kind === 'easy' ? 'well within' : 'beyond';
  return {
    capacityRps: learnedRps,
    configuredRps,
    reason: `${seen}, ${judged} the objective of ${latencyObjectiveMs} ms`,
  };
}
