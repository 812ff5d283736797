import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Bus, connectJetStreamBus } from '../../libs/bus/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { type Stack, startStack } from '../../libs/runtime/stack.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { rackConfig, rackConfigYaml } from '../rack/config.ts';
import { type Rack, startRack } from '../rack/rack.ts';
import { type Chapter, type Footprint, type Point, writeChapter } from './chapter.ts';
import { type Faults, startFaults } from './faults.ts';
import { type ControlPlane, streamBytes, watchControlPlane } from './footprint.ts';
import { addBuckets, emptyBuckets, quantileMs } from './latencyBuckets.ts';
import type { ArmOrder, ChapterLoad, GeneratorMessage, GeneratorOrder } from './messages.ts';
import { openRecorder, type Recorder } from './recorder.ts';
import { telemetryMaxAgeMs, trialRack, trialSettings } from './settings.ts';

const passwordVariable = 'NEMURI_TRIAL_BMC_PASSWORD';
const pool = 'web';
const readyTimeoutMs = 90_000;
const stopTimeoutMs = 35_000;
/** Points and footprints in a day of the series, or at least so far apart on the clock. */
const pointSeconds = 600;
const leastPointMs = 1_000;
const footprintEvery = 12;

/** What of an arm runs: its own rack, bus, services and observer. */
interface Parts {
  readonly rack: Rack;
  readonly stack: Stack;
  readonly bus: Bus;
  readonly recorder: Recorder;
  readonly controlPlane: ControlPlane;
  readonly storeDir: string;
  readonly address: string;
}

type CleanUps = (() => Promise<unknown>)[];

/**
 * Runs one arm from its first missing chapter to the end of the series, and writes each chapter as it is over.
 * A run that goes on after it was cut off starts everything anew: every server on, empty streams, a planner without
 * memory. That costs energy, never flatters.
 * @param distDir the folder with the built `services/` and `lab/`.
 * @param untilGo resolves when the load may begin.
 * @param signal ends it early; the chapter under way is not written.
 */
export async function runArm(
  order: ArmOrder,
  distDir: string,
  say: (line: string) => void,
  untilGo: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const cleanUps: CleanUps = [];
  try {
    const parts = await startParts(order, distDir, cleanUps, signal);
    say('every server is ready');
    await untilGo();
    await replay(order, parts, distDir, say, signal, cleanUps);
  } finally {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  }
}

async function startParts(
  order: ArmOrder,
  distDir: string,
  cleanUps: CleanUps,
  signal: AbortSignal,
): Promise<Parts> {
  const { arm, options, folder } = order;
  const work = join(folder, 'work');
  const storeDir = resolve(work, 'nats');
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  cleanUps.push(() => rm(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const rack = await startRack({
    ...trialRack(options),
    directory: work,
    originScript: join(distDir, 'lab/rack/origin.js'),
  });
  cleanUps.push(() => rack.stop());
  const configFile = join(work, 'nemuri.yaml');
  const settings = { ...trialSettings(options.speed), password: `env:${passwordVariable}` };
  await writeFile(configFile, rackConfigYaml(rackConfig(rack, settings)));
  const logs = options.logs ? createWriteStream(join(folder, 'services.log'), { flags: 'a' }) : undefined;
  if (logs) cleanUps.push(() => new Promise((done) => logs.end(() => done(undefined))));
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const stack = await startStack({
    distDir,
    configFile,
    storeDir,
    listen,
    adminListen: '127.0.0.1:0',
    ...(arm === 'nemuri' ? {} : { scripts: { planner: join(distDir, 'lab/trial/controller.js') } }),
    env: {
      [passwordVariable]: rack.password,
      NEMURI_TRIAL_ARM: arm,
      NEMURI_LOG_LEVEL: options.logs ? 'info' : 'warn',
    },
    onLine: (source, line) => void logs?.write(`${source} ${line}\n`),
  });
  cleanUps.push(() => stack.stop());
  const bus = await connectJetStreamBus({
    servers: stack.natsUrl,
    source: '/nemuri/trial',
    name: 'trial',
    limits: { telemetryMaxAgeMs: telemetryMaxAgeMs(options.speed) },
  });
  cleanUps.push(() => bus.close());
  // Nothing sleeps before the load begins: each arm starts with every server on.
  await bus.publish({ type: 'PlannerPaused', data: { pool, reason: 'the load has not begun', by: 'trial' } });
  const recorder = await openRecorder(bus, Date.now);
  cleanUps.push(() => recorder.close());
  const address = `http://${listen}`;
  const ready = AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)]);
  await recorder.view.when(({ servers }) => {
    const states = Object.values(servers);
    return states.length === options.servers && states.every(({ lifecycle }) => lifecycle === 'ready');
  }, ready);
  await stack.services.proxy.whenStarted(ready);
  const controlPlane = watchControlPlane(stack);
  return { rack, stack, bus, recorder, controlPlane, storeDir, address };
}

/** What was measured of a chapter when its time was over; the generator's figures come a moment later. */
type Measured = Omit<Chapter, 'load'>;

async function replay(
  order: ArmOrder,
  parts: Parts,
  distDir: string,
  say: (line: string) => void,
  signal: AbortSignal,
  cleanUps: CleanUps,
): Promise<void> {
  const { options, seconds, fromChapter, chapterSeconds, folder } = order;
  const chapters = Math.ceil(seconds / chapterSeconds);
  const generatorOrder: GeneratorOrder = { url: `${parts.address}/?bytes=64`, options, seconds, fromChapter };
  const generator = fork(join(distDir, 'lab/trial/generator.js'), [JSON.stringify(generatorOrder)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  });
  cleanUps.push(() => endProcess(generator, stopTimeoutMs));
  const loads = new Map<number, ChapterLoad>();
  const measured = new Map<number, Measured>();
  let written = fromChapter;
  const diary = createDiary(order, parts);
  cleanUps.push(async () => diary.stop());

  await new Promise<void>((done, fail) => {
    signal.addEventListener('abort', () => fail(signal.reason), { once: true });
    generator.once('exit', (code, killed) => {
      if (written < chapters && loads.size + written < chapters)
        fail(new Error(`the load generator ended (${killed ?? code})`));
    });
    const writeReady = async () => {
      for (;;) {
        const load = loads.get(written);
        const rest = measured.get(written);
        if (!load || !rest) break;
        const chapter = { ...rest, load };
        loads.delete(written);
        measured.delete(written);
        written += 1;
        await writeChapter(folder, chapter);
        say(chapterLine(chapter, chapters, options.speed));
      }
      if (written === chapters) done();
    };
    let writing = Promise.resolve();
    const write = () => {
      writing = writing.then(writeReady).catch(fail);
    };
    diary.onChapter((chapter) => {
      measured.set(chapter.chapter, chapter);
      write();
    });
    generator.on('message', (message: GeneratorMessage) => {
      if (message.kind === 'started') diary.start();
      else if (message.kind === 'progress') diary.progress(message);
      else {
        loads.set(message.chapter, message.load);
        write();
      }
    });
  });
}

function chapterLine(chapter: Chapter, chapters: number, speed: number): string {
  const { load, trueWh } = chapter;
  const kWh = ((trueWh * speed) / 1_000).toFixed(2);
  return (
    `${chapter.chapter + 1} of ${chapters}: ${load.requests} requests, ${load.failed} failed, ${load.late} late, ` +
    `${kWh} kWh, ${chapter.counts.WakeRequested ?? 0} wakes`
  );
}

/** Writes down what is measured as the series goes by: points, footprints, and at its end each chapter. */
function createDiary(order: ArmOrder, parts: Parts) {
  const { arm, options, seconds, chapterSeconds, fromChapter } = order;
  const { speed } = options;
  const { rack, bus, recorder, controlPlane, storeDir } = parts;
  const segment = new Date().toISOString();
  const pointMs = Math.max(leastPointMs, (pointSeconds / speed) * 1_000);
  let chapter = fromChapter;
  let points: Point[] = [];
  let footprints: Footprint[] = [];
  let startedMs = 0;
  let chapterStartedMs = 0;
  let energyBefore = rack.energy();
  let pointEnergy = energyBefore;
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
    const energy = rack.energy();
    const { capacityRps, awake } = recorder.capacityNow();
    const rps = (recorder.takeArrivals() * 1_000) / elapsedMs;
    const trueWatts = ((energy.fleetWh - pointEnergy.fleetWh) * 3_600_000) / elapsedMs;
    points.push({
      second: Math.round(secondNow()),
      rps: round(rps, 1),
      capacityRps,
      awake,
      trueWatts: round(trueWatts, 1),
    });
    pointEnergy = energy;
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
    const energy = rack.energy();
    const { servers: counted, ...recorded } = recorder.take();
    const servers = Object.fromEntries(
      rack.servers.map(({ name }) => {
        const trueWh =
          (energy.perServer[name]?.energyWh ?? 0) - (energyBefore.perServer[name]?.energyWh ?? 0);
        return [name, { wakes: 0, sleeps: 0, ...counted[name], trueWh: round(trueWh, 6) }];
      }),
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
      trueWh: energy.fleetWh - energyBefore.fleetWh,
      ...recorded,
      servers,
      cpuSeconds: controlPlane.takeCpuSeconds(),
      points,
      footprints,
      faults: faults?.take(endOf(chapter) === seconds) ?? [],
    };
    points = [];
    footprints = [];
    energyBefore = energy;
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
      energyBefore = rack.energy();
      pointEnergy = energyBefore;
      void bus
        .publish({ type: 'PlannerResumed', data: { pool, reason: 'the load begins', by: 'trial' } })
        .catch(() => {});
      recorder.take();
      recorder.takeArrivals();
      controlPlane.takeCpuSeconds();
      if (options.faults)
        faults = startFaults({
          ...parts,
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

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
