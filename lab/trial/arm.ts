import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { connectJetStreamBus } from '../../libs/bus/mod.ts';
import { freePort } from '../../libs/runtime/freePort.ts';
import { startStack } from '../../libs/runtime/stack.ts';
import { endProcess } from '../../libs/runtime/supervisor.ts';
import { runOpenLoop } from '../load/openLoop.ts';
import { untilAwake } from './awake.ts';
import { type Chapter, writeChapter } from './chapter.ts';
import { createDiary, type Measured, type Parts, publishAll } from './diary.ts';
import { watchControlPlane } from './footprint.ts';
import type { LoadTarget } from './machines.ts';
import type { ArmOrder, ChapterLoad, GeneratorMessage, GeneratorOrder } from './messages.ts';
import { takeOwnMachines } from './ownMachines.ts';
import { openRecorder } from './recorder.ts';
import { startVirtualMachines } from './virtualMachines.ts';

const stopTimeoutMs = 35_000;
const tryTimeoutMs = 30_000;

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
    const parts = await startParts(order, distDir, cleanUps, say, signal);
    say('every server is ready');
    if (order.own?.onlyWakes) return;
    await untilGo();
    await replay(order, parts, distDir, say, signal, cleanUps);
  } finally {
    await cleanUp(cleanUps);
  }
}

/** Each is done, whatever became of the one before. @throws the first error. */
async function cleanUp(cleanUps: CleanUps): Promise<void> {
  let problem: unknown;
  for (const work of cleanUps.splice(0).reverse()) {
    await work().catch((error) => {
      problem ??= error;
    });
  }
  if (problem !== undefined) throw problem;
}

async function startParts(
  order: ArmOrder,
  distDir: string,
  cleanUps: CleanUps,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Parts> {
  const { arm, options, folder } = order;
  const work = join(folder, 'work');
  const storeDir = resolve(work, 'nats');
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  cleanUps.push(() => rm(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const machines = order.own
    ? await takeOwnMachines(order.own)
    : await startVirtualMachines(options, work, distDir, (end) => void cleanUps.push(end));
  const { pool, names, held, readyTimeoutMs } = machines;
  const logs = options.logs ? createWriteStream(join(folder, 'services.log'), { flags: 'a' }) : undefined;
  if (logs) cleanUps.push(() => new Promise((done) => logs.end(() => done(undefined))));
  const listen = `127.0.0.1:${await freePort('127.0.0.1')}`;
  const stack = await startStack({
    distDir,
    configFile: machines.configFile,
    storeDir,
    listen,
    adminListen: '127.0.0.1:0',
    ...(arm === 'nemuri' ? {} : { scripts: { planner: join(distDir, 'lab/trial/controller.js') } }),
    env: {
      ...machines.env,
      NEMURI_TRIAL_ARM: arm,
      NEMURI_TRIAL_POOL: pool,
      NEMURI_TRIAL_CLOCK: order.own ? 'own' : undefined,
      NEMURI_LOG_LEVEL: options.logs ? 'info' : 'warn',
    },
    onLine: (source, line) => void logs?.write(`${source} ${line}\n`),
  });
  cleanUps.push(() => stack.stop());
  const bus = await connectJetStreamBus({
    servers: stack.natsUrl,
    source: '/nemuri/trial',
    name: 'trial',
    limits: machines.streamLimits,
  });
  cleanUps.push(() => bus.close());
  // Nothing sleeps before the load begins: each arm starts with every server on.
  await publishAll(bus, held);
  const recorder = await openRecorder(bus, Date.now, machines.maxMeterGapMs);
  cleanUps.push(() => recorder.close());
  const ready = AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)]);
  await untilAwake(recorder.view, names, ready, say);
  if (machines.wakesAtEnd) {
    cleanUps.push(async () => {
      say('wakes every server');
      const told = await publishAll(bus, held);
      const inTime = AbortSignal.timeout(readyTimeoutMs);
      await recorder.view.when(({ sequence }) => sequence >= told, inTime);
      await untilAwake(recorder.view, names, inTime, say);
      say('every server is awake again');
    });
  }
  await stack.services.proxy.whenStarted(ready);
  const address = `http://${listen}`;
  if (order.own) await tryTarget(address, machines.load, order.own.url);
  const controlPlane = watchControlPlane(stack);
  return { machines, stack, bus, recorder, controlPlane, storeDir, address };
}

/** Asks once for what the load will ask for. @throws Error when that is not answered 2xx. */
async function tryTarget(address: string, target: LoadTarget, url: string): Promise<void> {
  const abort = new AbortController();
  const arrivals = [0];
  const asked = { url: `${address}${target.path}`, arrivals, timeoutMs: tryTimeoutMs, signal: abort.signal };
  const { host } = target;
  const { causes } = await runOpenLoop({ ...asked, ...(host === undefined ? {} : { host }) }).done;
  const [cause] = Object.keys(causes);
  if (cause !== undefined) throw new Error(`--url must be a page that is answered 2xx (${url}: ${cause})`);
}

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
  const { address, machines } = parts;
  const generatorOrder: GeneratorOrder = { address, target: machines.load, options, seconds, fromChapter };
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
  const kWh = trueWh === undefined ? chapter.meteredWh / 1_000 : (trueWh * speed) / 1_000;
  return (
    `${chapter.chapter + 1} of ${chapters}: ${load.requests} requests, ${load.failed} failed, ${load.late} late, ` +
    `${kWh.toFixed(2)} kWh, ${chapter.counts.WakeRequested ?? 0} wakes`
  );
}
