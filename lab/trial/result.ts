import type { Chapter, FaultRecord, Footprint, Point, ProcessName } from './chapter.ts';
import { processNames } from './footprint.ts';
import { addBuckets, emptyBuckets, quantileMs } from './latencyBuckets.ts';
import type { ArmName } from './options.ts';
import { type Trend, trendOf } from './statistics.ts';

export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface Leak extends Trend {
  readonly of: string;
  readonly unit: string;
}

/** One arm over a whole run. Energies in Wh of the series. */
export interface ArmResult {
  readonly arm: ArmName;
  readonly chapters: number;
  readonly segments: number;
  readonly seconds: number;
  readonly requests: number;
  readonly failed: number;
  readonly late: number;
  readonly parked: number;
  readonly short: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly latencyMs: Latency;
  readonly buckets: readonly number[];
  readonly trueWh: number;
  readonly meteredWh: number;
  readonly modelledWh: number;
  /** How far the ledger is off the rack's true energy, in percent. */
  readonly ledgerErrorPercent: number;
  /** What the control plane's processor time comes to. */
  readonly controlWh: number;
  readonly controlCores: number;
  readonly cpuCores: Readonly<Record<ProcessName, number>>;
  readonly residentMiB: Readonly<Record<ProcessName, number>>;
  readonly wakes: number;
  readonly sleeps: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly servers: Readonly<Record<string, { wakes: number; sleeps: number; trueWh: number }>>;
  readonly leaks: readonly Leak[];
  /** By how much the history, which is kept, grows in a day of the series; null when it was not seen twice. */
  readonly historyKiBPerDay: number | null;
  readonly faults: readonly FaultRecord[];
  readonly points: readonly Point[];
  readonly maxSendLagMs: number;
}

const mebibyte = 1_024 * 1_024;

/** @param wattsPerCore what a busy core of the control plane's machine draws above an idle one. */
export function armResult(chapters: readonly Chapter[], speed: number, wattsPerCore: number): ArmResult {
  const [first] = chapters;
  if (!first) throw new Error('an arm without a finished chapter has no result');
  const sum = (of: (chapter: Chapter) => number) =>
    chapters.reduce((total, chapter) => total + of(chapter), 0);
  const buckets = emptyBuckets();
  for (const { load } of chapters) addBuckets(buckets, load.buckets);
  const trueWh = sum((chapter) => chapter.trueWh) * speed;
  const meteredWh = sum((chapter) => chapter.meteredWh) * speed;
  const clockSeconds = sum((chapter) => chapter.clockSeconds);
  const cpuCores = perProcess((name) => sum((chapter) => chapter.cpuSeconds[name]) / clockSeconds);
  const controlCores = processNames.reduce((total, name) => total + cpuCores[name], 0);
  const seconds = sum(({ fromSecond, toSecond }) => toSecond - fromSecond);
  const footprints = chapters.flatMap((chapter) => chapter.footprints);
  return {
    arm: first.arm,
    chapters: chapters.length,
    segments: new Set(chapters.map(({ segment }) => segment)).size,
    seconds,
    requests: sum(({ load }) => load.requests),
    failed: sum(({ load }) => load.failed),
    late: sum(({ load }) => load.late),
    parked: sum(({ parked }) => parked),
    short: sum(({ short }) => short),
    causes: added(chapters.map(({ load }) => load.causes)),
    latencyMs: {
      p50: quantileMs(buckets, 0.5),
      p90: quantileMs(buckets, 0.9),
      p99: quantileMs(buckets, 0.99),
      p999: quantileMs(buckets, 0.999),
      max: Math.round(Math.max(...chapters.map(({ load }) => load.maxMs))),
    },
    buckets,
    trueWh,
    meteredWh,
    modelledWh: sum((chapter) => chapter.modelledWh) * speed,
    ledgerErrorPercent: trueWh > 0 ? (meteredWh / trueWh - 1) * 100 : 0,
    controlWh: (controlCores * wattsPerCore * seconds) / 3_600,
    controlCores,
    cpuCores,
    residentMiB: perProcess((name) => Math.max(0, ...footprints.map((one) => one.residentKiB[name])) / 1_024),
    wakes: sum(({ counts }) => counts.WakeRequested ?? 0),
    sleeps: sum(({ counts }) => counts.SleepVerified ?? 0),
    counts: added(chapters.map(({ counts }) => counts)),
    servers: serversOf(chapters, speed),
    leaks: leaksOf(chapters),
    historyKiBPerDay: historyGrowthOf(chapters),
    faults: chapters.flatMap(({ faults }) => faults),
    points: chapters.flatMap(({ points }) => points),
    maxSendLagMs: Math.round(Math.max(...chapters.map((chapter) => chapter.maxSendLagMs))),
  };
}

function perProcess(of: (name: ProcessName) => number): Record<ProcessName, number> {
  return {
    proxy: of('proxy'),
    planner: of('planner'),
    power: of('power'),
    health: of('health'),
    nats: of('nats'),
  };
}

function added(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, count] of Object.entries(part)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

function serversOf(chapters: readonly Chapter[], speed: number): ArmResult['servers'] {
  const servers: Record<string, { wakes: number; sleeps: number; trueWh: number }> = {};
  for (const { servers: counted } of chapters) {
    for (const [name, { wakes, sleeps, trueWh }] of Object.entries(counted)) {
      const known = servers[name] ?? { wakes: 0, sleeps: 0, trueWh: 0 };
      servers[name] = {
        wakes: known.wakes + wakes,
        sleeps: known.sleeps + sleeps,
        trueWh: known.trueWh + trueWh * speed,
      };
    }
  }
  return servers;
}

/** What may grow unseen by this much: memory of a garbage collector, files, latency. */
const allowed = { residentMiB: 20, handles: 12, streamMiB: 8, latencyMs: 20 };

function lastFootprints(chapters: readonly Chapter[]): Footprint[] {
  const last = chapters.at(-1)?.segment;
  return chapters.filter(({ segment }) => segment === last).flatMap((chapter) => chapter.footprints);
}

function historyGrowthOf(chapters: readonly Chapter[]): number | null {
  const footprints = lastFootprints(chapters);
  const [first] = footprints;
  const last = footprints.at(-1);
  if (!first || !last || last.second <= first.second) return null;
  const bytesPerSecond = (last.fleetBytes - first.fleetBytes) / (last.second - first.second);
  return Math.round((bytesPerSecond * 86_400) / 1_024);
}

/** Of the last life of the processes only: a restarted one begins anew. */
function leaksOf(chapters: readonly Chapter[]): Leak[] {
  const footprints = lastFootprints(chapters);
  const of = (name: string, unit: string, values: readonly number[], tolerance: number): Leak => {
    const { from, to, verdict } = trendOf(values, tolerance);
    return { of: name, unit, from: Math.round(from * 10) / 10, to: Math.round(to * 10) / 10, verdict };
  };
  return [
    ...processNames.map((name) =>
      of(
        `memory ${name}`,
        'MiB',
        footprints.map((one) => one.residentKiB[name] / 1_024),
        allowed.residentMiB,
      ),
    ),
    ...processNames.map((name) =>
      of(
        `open files ${name}`,
        '',
        footprints.map((one) => one.handles[name]),
        allowed.handles,
      ),
    ),
    of(
      'stream TELEMETRY',
      'MiB',
      footprints.map((one) => one.telemetryBytes / mebibyte),
      allowed.streamMiB,
    ),
    of(
      'latency p50',
      'ms',
      footprints.map((one) => one.p50Ms),
      allowed.latencyMs,
    ),
    of(
      'latency p99',
      'ms',
      footprints.map((one) => one.p99Ms),
      allowed.latencyMs * 5,
    ),
  ];
}
