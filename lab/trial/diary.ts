import type { Bus } from '../../libs/bus/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import type { Stack } from '../../libs/runtime/stack.ts';
import type { Chapter, Footprint, Point } from './chapter.ts';
import { createEnergyBook } from './energyBook.ts';
import { type Faults, startFaults } from './faults.ts';
import { type ControlPlane, streamBytes } from './footprint.ts';
import { addBuckets, emptyBuckets, quantileMs } from './latencyBuckets.ts';
import type { Machines } from './machines.ts';
import type { ArmOrder, GeneratorMessage } from './messages.ts';
import type { Recorder } from './recorder.ts';
import { rounded } from './statistics.ts';

/** What of an arm runs: its machines, its bus, services and observer. */
export interface Parts {
  readonly machines: Machines;
  readonly stack: Stack;
  readonly bus: Bus;
  readonly recorder: Recorder;
  readonly controlPlane: ControlPlane;
  readonly storeDir: string;
  readonly address: string;
}

/** What was measured of a chapter when its time was over; the generator's figures come a moment later. */
export type Measured = Omit<Chapter, 'load'>;

/** Points and footprints in a day of the series, or at least so far apart on the clock. */
const pointSeconds = 600;
const leastPointMs = 1_000;
const footprintEvery = 12;

/** Writes down what is measured as the series goes by: points, footprints, and at its end each chapter. */
export function createDiary(order: ArmOrder, parts: Parts) {
  const { arm, options, seconds, chapterSeconds, fromChapter } = order;
  const { speed } = options;
  const { machines, bus, recorder, controlPlane, storeDir } = parts;
  const book = createEnergyBook(machines.rack, recorder);
  const segment = new Date().toISOString();
  const pointMs = Math.max(leastPointMs, (pointSeconds / speed) * 1_000);
  let chapter = fromChapter;
  let points: Point[] = [];
  let footprints: Footprint[] = [];
  let startedMs = 0;
  let chapterStartedMs = 0;
  let pointAtMs = 0;
  let latency = emptyBuckets();
  let maxSendLagMs = 0;
  let pointNumber = 0;
  let faults: Faults | undefined;
  let timer: NodeJS.Timeout | undefined;
  let chapterTimer: NodeJS.Timeout | undefined;
  let onChapter: (chapter: Measured) => void = () => {};
  const secondNow = () => fromChapter * chapterSeconds + ((performance.now() - startedMs) / 1_000) * speed;

  const takePoint = () => {
    const nowMs = performance.now();
    const elapsedMs = nowMs - pointAtMs;
    if (elapsedMs < pointMs / 2) return;
    const watts = book.watts(elapsedMs);
    const { capacityRps, awake } = recorder.capacityNow();
    const rps = (recorder.takeArrivals() * 1_000) / elapsedMs;
    points.push({
      second: Math.round(secondNow()),
      rps: rounded(rps, 1),
      capacityRps,
      awake,
      ...watts,
    });
    pointAtMs = nowMs;
    controlPlane.look();
    pointNumber += 1;
    if (pointNumber % footprintEvery === 0) takeFootprint();
  };
  const takeFootprint = () => {
    const { residentKiB, handles } = controlPlane.holdings();
    footprints.push({
      second: Math.round(secondNow()),
      residentKiB,
      handles,
      fleetBytes: streamBytes(storeDir, 'FLEET'),
      telemetryBytes: streamBytes(storeDir, 'TELEMETRY'),
      p50Ms: quantileMs(latency, 0.5),
      p99Ms: quantileMs(latency, 0.99),
    });
    latency = emptyBuckets();
  };
  const endOf = (number: number) => Math.min(seconds, (number + 1) * chapterSeconds);
  const closeChapter = () => {
    takePoint();
    const nowMs = performance.now();
    const { servers: counted, ledgers, ...recorded } = recorder.take();
    const energy = book.close(ledgers);
    const servers = Object.fromEntries(
      machines.names.map((name) => [name, { wakes: 0, sleeps: 0, ...counted[name], ...energy.of(name) }]),
    );
    const clockSeconds = (nowMs - chapterStartedMs) / 1_000;
    const done: Measured = {
      version: 1,
      arm,
      seed: options.seed,
      chapter,
      fromSecond: chapter * chapterSeconds,
      toSecond: endOf(chapter),
      segment,
      clockSeconds,
      maxSendLagMs,
      ...energy.whole,
      ...recorded,
      servers,
      cpuSeconds: controlPlane.takeCpuSeconds(),
      points,
      footprints,
      faults: faults?.take(endOf(chapter) === seconds) ?? [],
    };
    points = [];
    footprints = [];
    chapterStartedMs = nowMs;
    chapter += 1;
    if (endOf(chapter) > chapter * chapterSeconds) scheduleChapter();
    else stop();
    onChapter(done);
  };
  const scheduleChapter = () => {
    const dueMs = startedMs + ((endOf(chapter) - fromChapter * chapterSeconds) / speed) * 1_000;
    chapterTimer = setTimeout(closeChapter, Math.max(0, dueMs - performance.now()));
  };
  const stop = () => {
    clearInterval(timer);
    clearTimeout(chapterTimer);
    faults?.stop();
  };
  return {
    onChapter(listener: (chapter: Measured) => void) {
      onChapter = listener;
    },
    /** The first request is about to be sent: from here on everything counts. */
    start() {
      startedMs = performance.now();
      chapterStartedMs = startedMs;
      pointAtMs = startedMs;
      book.start();
      void publishAll(bus, machines.released).catch(() => {});
      recorder.take();
      recorder.takeArrivals();
      controlPlane.takeCpuSeconds();
      if (options.faults && machines.rack)
        faults = startFaults({
          ...parts,
          rack: machines.rack,
          options,
          seconds,
          fromSecond: fromChapter * chapterSeconds,
          secondNow,
        });
      timer = setInterval(takePoint, pointMs);
      scheduleChapter();
    },
    progress(message: Extract<GeneratorMessage, { kind: 'progress' }>) {
      addBuckets(latency, message.buckets);
      maxSendLagMs = Math.max(maxSendLagMs, message.maxSendLagMs);
      faults?.progress(message.failed, message.late);
    },
    stop,
  };
}

/** One after the other, each acknowledged. @returns the sequence of the last. */
export async function publishAll(bus: Bus, drafts: readonly EventDraft[]): Promise<number> {
  let last = 0;
  for (const draft of drafts) last = (await bus.publish(draft)).sequence;
  return last;
}
