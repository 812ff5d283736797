import type { EventData } from '../../libs/events/mod.ts';
import type { Readings } from './tile.ts';

interface Sample {
  readonly timeMs: number;
  readonly data: EventData<'LoadSampled'>;
}

/** What the proxies and meters say of each server now. */
export interface ReadingsBook {
  load(timeMs: number, data: EventData<'LoadSampled'>): void;
  meter(timeMs: number, data: EventData<'PowerMetered'>): void;
  of(server: string, nowMs: number): Readings;
  /** Of a pool: parked requests and those in flight, over all proxies that are heard. */
  waiting(pool: string, nowMs: number): { readonly parked: number; readonly inFlight: number };
  /** Forgets servers and proxies that were silent for long. */
  forget(nowMs: number): void;
}

/** Rates are those of the last so many ms: a quarter of a second alone says little. */
const windowMs = 2_000;
const maxSamples = 40;
/** What was not heard of for longer is not shown as of now. */
const staleLoadMs = 10_000;
const staleMeterMs = 60_000;
const maxProxies = 1_000;

export function createReadings(): ReadingsBook {
  const proxies = new Map<string, Sample[]>();
  const meters = new Map<string, { timeMs: number; data: EventData<'PowerMetered'> }>();

  const fresh = (samples: readonly Sample[], nowMs: number): Sample | undefined => {
    const last = samples.at(-1);
    return last && nowMs - last.timeMs <= staleLoadMs && !last.data.stopping ? last : undefined;
  };
  return {
    load(timeMs, data) {
      const key = `${data.pool} ${data.proxy}`;
      const samples = proxies.get(key) ?? [];
      if (samples.length === 0 && proxies.size >= maxProxies) return;
      proxies.set(
        key,
        [...samples.filter((old) => timeMs - old.timeMs < windowMs), { timeMs, data }].slice(-maxSamples),
      );
    },
    meter: (timeMs, data) => void meters.set(data.server, { timeMs, data }),
    of(server, nowMs) {
      const metered = meters.get(server);
      let rps: number | undefined;
      let inFlight: number | undefined;
      for (const samples of proxies.values()) {
        const last = fresh(samples, nowMs);
        if (!last?.data.servers[server]) continue;
        let completed = 0;
        let coveredMs = 0;
        for (const { data } of samples) {
          completed += data.servers[server]?.completed ?? 0;
          coveredMs += data.intervalMs;
        }
        rps = (rps ?? 0) + (coveredMs > 0 ? (completed * 1_000) / coveredMs : 0);
        inFlight = (inFlight ?? 0) + last.data.servers[server].inFlight;
      }
      const isMetered = metered !== undefined && nowMs - metered.timeMs <= staleMeterMs;
      return {
        ...(isMetered ? { watts: Math.round(metered.data.powerWatts), meter: metered.data.meter } : {}),
        ...(rps === undefined || inFlight === undefined ? {} : { rps: Number(rps.toFixed(1)), inFlight }),
      };
    },
    waiting(pool, nowMs) {
      let parked = 0;
      let inFlight = 0;
      for (const samples of proxies.values()) {
        const last = fresh(samples, nowMs);
        if (last?.data.pool !== pool) continue;
        parked += last.data.parked;
        inFlight += last.data.inFlight;
      }
      return { parked, inFlight };
    },
    forget(nowMs) {
      for (const [key, samples] of proxies) if (!fresh(samples, nowMs)) proxies.delete(key);
      for (const [server, { timeMs }] of meters) if (nowMs - timeMs > staleMeterMs) meters.delete(server);
    },
  };
}
