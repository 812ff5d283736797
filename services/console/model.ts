import { type Fleet, floorOf, serversOfPool } from '../../libs/domain/mod.ts';
import type { RecordedEvent } from '../../libs/events/mod.ts';
import { newsFilter } from './pastEvents.ts';
import { createReadings } from './readings.ts';
import { type Said, saidOf } from './said.ts';
import { createSeries, keptSeconds, type Point, type Series } from './series.ts';
import { byNumber, type Tile, tileOf } from './tile.ts';

export interface PoolNow {
  readonly name: string;
  readonly servers: number;
  readonly floor: number;
  readonly paused: boolean;
  readonly pinnedServers?: number;
  readonly capacityRps: number;
  readonly readyCapacityRps: number;
  readonly parked: number;
  readonly inFlight: number;
  readonly decision?: {
    readonly sequence: number;
    readonly timeMs: number;
    readonly reason: string;
    readonly target: number;
    readonly stale: boolean;
  };
}

/** All the page shows, or what of it has changed. */
export interface Frame {
  readonly nowMs: number;
  /** Of the history. */
  readonly sequence: number;
  readonly pools: readonly PoolNow[];
  readonly tiles: readonly Tile[];
  /** Servers that are gone. */
  readonly gone: readonly string[];
  readonly points: Readonly<Record<string, readonly Point[]>>;
  /** Newest last. */
  readonly events: readonly Said[];
}

/** What the console knows of the present, kept up by the events. */
export interface Model {
  fleetEvent(event: RecordedEvent): void;
  /** What came before the first `fleetEvent`, in order; called once. */
  past(history: readonly RecordedEvent[]): void;
  telemetryEvent(event: RecordedEvent): void;
  /** Everything. */
  whole(fleet: Fleet, nowMs: number): Frame;
  /** What has changed since the last call. */
  changes(fleet: Fleet, nowMs: number): Frame;
}

/** Lines of the history that a page gets at its start. */
export const keptEvents = 200;
/** Points younger than this may still change. */
const unsettledSeconds = 5;
/** What was sent of each second, to send it again only when it has changed. */
const maxSentPoints = 20_000;

export function createModel(): Model {
  const readings = createReadings();
  const series = new Map<string, Series>();
  const sent = new Map<string, string>();
  const events: Said[] = [];
  const sentPoints = new Map<string, string>();
  let sentEvents = 0;

  const seriesOf = (pool: string): Series => {
    let known = series.get(pool);
    if (!known) {
      known = createSeries(pool);
      series.set(pool, known);
    }
    return known;
  };
  const isNews = newsFilter();
  const tilesOf = (fleet: Fleet, nowMs: number): Tile[] => {
    return Object.keys(fleet.servers)
      .sort(byNumber)
      .flatMap((name) => {
        const tile = tileOf(fleet, name, readings.of(name, nowMs), nowMs);
        return tile ? [tile] : [];
      });
  };
  const pointsFrom = (fleet: Fleet, fromSeconds: number) =>
    Object.fromEntries(
      Object.keys(fleet.pools).map(
        (pool) => [pool, seriesOf(pool).points(fromSeconds, fleet.config)] as const,
      ),
    );
  const newPoints = (points: Readonly<Record<string, readonly Point[]>>) =>
    Object.fromEntries(
      Object.entries(points).map(([pool, some]) => {
        const fresh = some.filter((point) => {
          const key = `${pool} ${point[0]}`;
          const text = JSON.stringify(point);
          if (sentPoints.get(key) === text) return false;
          sentPoints.delete(key);
          sentPoints.set(key, text);
          return true;
        });
        return [pool, fresh] as const;
      }),
    );
  const frame = (fleet: Fleet, nowMs: number): Omit<Frame, 'tiles' | 'gone' | 'points' | 'events'> => ({
    nowMs,
    sequence: fleet.sequence,
    pools: Object.keys(fleet.pools)
      .sort()
      .map((name) => poolNow(fleet, name, readings.waiting(name, nowMs), nowMs)),
  });
  return {
    fleetEvent(event) {
      if (event.type === 'CapacityDecided') seriesOf(event.data.pool).decision(event.timeMs, event.data);
      if (!isNews(event)) return;
      events.push(saidOf(event));
      if (events.length > keptEvents) events.shift();
    },
    past(history) {
      const wasNews = newsFilter();
      const before = history.filter((event) => {
        if (event.type === 'CapacityDecided') seriesOf(event.data.pool).decision(event.timeMs, event.data);
        return wasNews(event);
      });
      events.unshift(...before.map(saidOf));
      events.splice(0, Math.max(0, events.length - keptEvents));
    },
    telemetryEvent(event) {
      if (event.type === 'LoadSampled') {
        readings.load(event.timeMs, event.data);
        if (!event.data.stopping) seriesOf(event.data.pool).load(event.timeMs, event.data);
      } else if (event.type === 'PowerMetered') {
        readings.meter(event.timeMs, event.data);
        seriesOf(event.data.pool).meter(event.timeMs, event.data.server, event.data.powerWatts);
      }
    },
    whole(fleet, nowMs) {
      const fromSeconds = Math.floor(nowMs / 1_000) - keptSeconds;
      return {
        ...frame(fleet, nowMs),
        tiles: tilesOf(fleet, nowMs),
        gone: [],
        points: pointsFrom(fleet, fromSeconds),
        events: [...events],
      };
    },
    changes(fleet, nowMs) {
      readings.forget(nowMs);
      for (const pool of Object.keys(fleet.pools)) seriesOf(pool).capacity(nowMs, readyCapacity(fleet, pool));
      const tiles = tilesOf(fleet, nowMs);
      const changed = tiles.filter((tile) => {
        const text = JSON.stringify(tile);
        if (sent.get(tile.name) === text) return false;
        sent.set(tile.name, text);
        return true;
      });
      const gone = [...sent.keys()].filter((name) => !Object.hasOwn(fleet.servers, name));
      for (const name of gone) sent.delete(name);
      const points = newPoints(pointsFrom(fleet, Math.floor(nowMs / 1_000) - unsettledSeconds));
      const news = events.filter(({ sequence }) => sequence > sentEvents);
      for (const key of sentPoints.keys()) {
        if (sentPoints.size <= maxSentPoints) break;
        sentPoints.delete(key);
      }
      sentEvents = events.at(-1)?.sequence ?? sentEvents;
      return { ...frame(fleet, nowMs), tiles: changed, gone, points, events: news };
    },
  };
}

function readyCapacity(fleet: Fleet, pool: string): number {
  return serversOfPool(fleet, pool)
    .filter(({ state }) => state.lifecycle === 'ready')
    .reduce((sum, { config }) => sum + config.capacityRps, 0);
}

function poolNow(
  fleet: Fleet,
  name: string,
  waiting: { readonly parked: number; readonly inFlight: number },
  nowMs: number,
): PoolNow {
  const { paused = false, pinnedServers, decision } = fleet.pools[name] ?? {};
  const views = serversOfPool(fleet, name);
  return {
    name,
    servers: views.length,
    floor: floorOf(fleet, name),
    paused,
    ...(pinnedServers === undefined ? {} : { pinnedServers }),
    capacityRps: views.reduce((sum, { config }) => sum + config.capacityRps, 0),
    readyCapacityRps: readyCapacity(fleet, name),
    ...waiting,
    ...(decision === undefined
      ? {}
      : {
          decision: {
            sequence: decision.sequence,
            timeMs: decision.decidedAtMs,
            reason: decision.reason,
            target: decision.target.length,
            stale: nowMs > decision.decidedAtMs + decision.validForMs,
          },
        }),
  };
}
