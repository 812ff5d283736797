import { alwaysOnWatts } from '../../libs/domain/mod.ts';
import type { EventData, FleetConfig } from '../../libs/events/mod.ts';

/** One second of a pool: rates in requests/s, latencies in ms; null: not known. */
export type Point = readonly [
  /** Epoch seconds at which the second begins. */
  timeSeconds: number,
  loadRps: number | null,
  capacityRps: number | null,
  /** What was forecast for this second: the level, and the rate it was not to exceed. */
  levelRps: number | null,
  upToRps: number | null,
  watts: number | null,
  alwaysOnWatts: number | null,
  p50Ms: number | null,
  p99Ms: number | null,
];

interface Second {
  arrivals: number | undefined;
  capacityRps: number | undefined;
  levelRps: number | undefined;
  upToRps: number | undefined;
  watts: number | undefined;
  p50Ms: number | undefined;
  p99Ms: number | undefined;
}

/** The last quarter of an hour of one pool, by the second. */
export interface Series {
  load(timeMs: number, sample: EventData<'LoadSampled'>): void;
  meter(timeMs: number, server: string, powerWatts: number): void;
  decision(timeMs: number, decided: EventData<'CapacityDecided'>): void;
  /** Sustained by the servers that are ready, from now on. */
  capacity(timeMs: number, capacityRps: number): void;
  /** All seconds from then on, oldest first, those that are forecast included. */
  points(fromSeconds: number, config: FleetConfig | undefined): Point[];
}

export const keptSeconds = 900;
/** A forecast may reach so far ahead. */
const aheadSeconds = 900;
/** A meter silent for longer counts for nothing. */
const staleMeterMs = 60_000;

export function createSeries(pool: string): Series {
  const seconds = new Map<number, Second>();
  const meters = new Map<string, { timeMs: number; powerWatts: number }>();
  let newest = 0;

  const at = (second: number): Second => {
    let known = seconds.get(second);
    if (!known) {
      known = {
        arrivals: undefined,
        capacityRps: undefined,
        levelRps: undefined,
        upToRps: undefined,
        watts: undefined,
        p50Ms: undefined,
        p99Ms: undefined,
      };
      seconds.set(second, known);
    }
    return known;
  };
  /** The second of an event; undefined when it is too old, or so far ahead that a clock must be wrong. */
  const place = (timeMs: number): Second | undefined => {
    const second = Math.floor(timeMs / 1_000);
    if (newest > 0 && (second <= newest - keptSeconds || second > newest + aheadSeconds)) return undefined;
    if (second > newest) {
      newest = second;
      for (const old of seconds.keys()) if (old <= newest - keptSeconds) seconds.delete(old);
    }
    return at(second);
  };

  return {
    load(timeMs, { intervalMs, arrivals, completed, latencyMs }) {
      const now = place(timeMs - 1);
      if (!now || intervalMs < 1 || intervalMs > keptSeconds * 1_000) return;
      // Arrivals are spread over the seconds that the interval covers.
      const fromMs = timeMs - intervalMs;
      for (let second = Math.floor(fromMs / 1_000); second * 1_000 < timeMs; second += 1) {
        const overlapMs = Math.min(timeMs, (second + 1) * 1_000) - Math.max(fromMs, second * 1_000);
        const bucket = at(second);
        bucket.arrivals = (bucket.arrivals ?? 0) + (arrivals * overlapMs) / intervalMs;
      }
      if (completed === 0) return;
      now.p50Ms = Math.max(now.p50Ms ?? 0, latencyMs.p50);
      now.p99Ms = Math.max(now.p99Ms ?? 0, latencyMs.p99);
    },
    meter(timeMs, server, powerWatts) {
      meters.set(server, { timeMs, powerWatts });
      const now = place(timeMs);
      if (!now) return;
      let watts = 0;
      for (const [name, last] of meters) {
        if (timeMs - last.timeMs > staleMeterMs) meters.delete(name);
        else watts += last.powerWatts;
      }
      now.watts = watts;
    },
    decision(timeMs, { inputs, forecastRps }) {
      if (!place(timeMs)) return;
      const second = Math.floor((timeMs + Math.min(inputs.horizonMs, aheadSeconds * 1_000)) / 1_000);
      const then = at(second);
      then.levelRps = inputs.levelRps;
      then.upToRps = Math.max(forecastRps, then.upToRps ?? 0);
    },
    capacity(timeMs, capacityRps) {
      const now = place(timeMs);
      if (now) now.capacityRps = capacityRps;
    },
    points(fromSeconds, config) {
      const servers = Object.values(config?.servers ?? {}).filter((server) => server.pool === pool);
      return [...seconds]
        .filter(([second]) => second >= fromSeconds)
        .sort(([a], [b]) => a - b)
        .map(([second, value]): Point => {
          const rps = value.arrivals;
          const always = rps === undefined ? undefined : alwaysOnWatts(servers, rps);
          return [
            second,
            round(rps, 1),
            round(value.capacityRps, 1),
            round(value.levelRps, 1),
            round(value.upToRps, 1),
            round(value.watts, 0),
            round(always, 0),
            round(value.p50Ms, 1),
            round(value.p99Ms, 1),
          ];
        });
    },
  };
}

function round(value: number | undefined, digits: number): number | null {
  return value === undefined || !Number.isFinite(value) ? null : Number(value.toFixed(digits));
}
