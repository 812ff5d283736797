import type { Chapter, FaultRecord, Footprint, Point, ProcessName, ServerCounts } from './chapter.ts';
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

/** How far meters and the energy model may be off, in percent: of the configuration. */
export interface MeterErrors {
  readonly meterErrorPercent: number;
  readonly modelErrorPercent: number;
}

/** One arm over a whole run. Energies in Wh of the series; on own machines those that were used, on the clock. */
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
  /** By the virtual rack's own integral; absent on own machines, whose true energy nobody knows. */
  readonly trueWh?: number;
  /** By the ledger of the meters; the second is the part of it that rests on the energy model or bridges a gap. */
  readonly meteredWh: number;
  readonly modelledWh: number;
  /** How far the ledger is off the rack's true energy, in percent. On a virtual rack. */
  readonly ledgerErrorPercent?: number;
  /** On own machines: the energy lies within ± so much. */
  readonly errorWh?: number;
  readonly clockSeconds?: number;
  /** What the control plane's processor time comes to. */
  readonly controlWh: number;
  readonly controlCores: number;
  readonly cpuCores: Readonly<Record<ProcessName, number>>;
  readonly residentMiB: Readonly<Record<ProcessName, number>>;
  readonly wakes: number;
  readonly sleeps: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly servers: Readonly<Record<string, ServerCounts>>;
  readonly leaks: readonly Leak[];
  /** By how much the history, which is kept, grows in a day of the series; null when it was not seen twice. */
  readonly historyKiBPerDay: number | null;
  readonly faults: readonly FaultRecord[];
  readonly points: readonly Point[];
  readonly maxSendLagMs: number;
}

const mebibyte = 1_024 * 1_024;

/** What it used: by the rack's own integral, or by the ledger of the meters where there is nothing else. */
export function usedWh({ trueWh, meteredWh = 0 }: { trueWh?: number; meteredWh?: number }): number {
  return trueWh ?? meteredWh;
}

/** How much of the energy rests on the energy model, in percent. */
export function modelledPercent({ meteredWh, modelledWh }: ArmResult): number {
  return meteredWh > 0 ? (modelledWh / meteredWh) * 100 : 0;
}

/** An energy as kWh; that of own machines may be that of minutes. */
export function kWhText(energyWh: number, of: ArmResult | undefined): string {
  const kWh = energyWh / 1_000;
  return of?.errorWh === undefined ? kWh.toFixed(2) : String(Number(kWh.toPrecision(3)));
}

/**
 * @param wattsPerCore what a busy core of the control plane's machine draws above an idle one.
 * @param errors of own machines; left out: a virtual rack, whose energy is taken for that of the series.
 */
export function armResult(
  chapters: readonly Chapter[],
  speed: number,
  wattsPerCore: number,
  errors?: MeterErrors,
): ArmResult {
  const [first] = chapters;
  if (!first) throw new Error('an arm without a finished chapter has no result');
  const sum = (of: (chapter: Chapter) => number) =>
    chapters.reduce((total, chapter) => total + of(chapter), 0);
  const buckets = emptyBuckets();
  for (const { load } of chapters) addBuckets(buckets, load.buckets);
  const scale = errors ? 1 : speed;
  const meteredWh = sum((chapter) => chapter.meteredWh) * scale;
  const modelledWh = sum((chapter) => chapter.modelledWh) * scale;
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
    ...truthOf(chapters, speed, meteredWh, modelledWh),
    ...(errors ? { errorWh: errorOf(meteredWh, modelledWh, errors), clockSeconds } : {}),
    controlWh: (controlCores * wattsPerCore * (errors ? clockSeconds : seconds)) / 3_600,
    controlCores,
    cpuCores,
    residentMiB: perProcess((name) => Math.max(0, ...footprints.map((one) => one.residentKiB[name])) / 1_024),
    wakes: sum(({ counts }) => counts.WakeRequested ?? 0),
    sleeps: sum(({ counts }) => counts.SleepVerified ?? 0),
    counts: added(chapters.map(({ counts }) => counts)),
    servers: serversOf(chapters, scale),
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

/** The ledger beside the truth, where that is known. */
function truthOf(chapters: readonly Chapter[], speed: number, meteredWh: number, modelledWh: number) {
  if (chapters.some(({ trueWh }) => trueWh === undefined)) return { meteredWh, modelledWh };
  const trueWh = chapters.reduce((sum, chapter) => sum + (chapter.trueWh ?? 0), 0) * speed;
  const ledgerErrorPercent = trueWh > 0 ? (meteredWh / trueWh - 1) * 100 : 0;
  return { trueWh, meteredWh, modelledWh, ledgerErrorPercent };
}

/** As the ledger's own report has it: meters and models err one way. */
function errorOf(energyWh: number, modelledWh: number, errors: MeterErrors): number {
  const measuredWh = energyWh - modelledWh;
  return (measuredWh * errors.meterErrorPercent + modelledWh * errors.modelErrorPercent) / 100;
}

function serversOf(chapters: readonly Chapter[], scale: number): ArmResult['servers'] {
  const servers: Record<string, ServerCounts> = {};
  for (const { servers: counted } of chapters) {
    for (const [name, added] of Object.entries(counted)) {
      const known = servers[name];
      const energy = (of: 'trueWh' | 'meteredWh' | 'modelledWh') =>
        added[of] === undefined ? {} : { [of]: (known?.[of] ?? 0) + added[of] * scale };
      servers[name] = {
        wakes: (known?.wakes ?? 0) + added.wakes,
        sleeps: (known?.sleeps ?? 0) + added.sleeps,
        ...energy('trueWh'),
        ...energy('meteredWh'),
        ...energy('modelledWh'),
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
