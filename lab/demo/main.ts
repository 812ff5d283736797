import { resolve } from 'node:path';
import { messageOf } from '../../libs/runtime/errors.ts';
import { readOptions } from '../commandLine.ts';
import { type Demo, startDemo } from './demo.ts';
import { type DemoOptions, demoHelp, parseDemoOptions } from './options.ts';
import { reportText } from './report.ts';
import { screenLines } from './screen.ts';

const frameMs = 250;
const progressMs = 5_000;
const hideCursor = '\x1b[?25l';
const showCursor = '\x1b[?25h';
const home = '\x1b[H';
const clearLine = '\x1b[K';
const clearBelow = '\x1b[J';
const clearAll = '\x1b[2J';

const say = (line: string) => void process.stderr.write(`nemuri demo: ${line}\n`);

/** Shows the demo while it runs: the living rack on a terminal, else a line now and then. @returns the way to stop. */
function show(demo: Demo, { seconds, json }: DemoOptions): () => void {
  const screen = process.stdout.isTTY && !json;
  const state = () => ({
    view: demo.view,
    nowMs: Date.now(),
    elapsedSeconds: Math.min(seconds, (Date.now() - demo.startedMs) / 1_000),
    totalSeconds: seconds,
    address: demo.address,
    console: demo.console,
    energy: demo.rack.energy(),
    failed: demo.load.failed,
    requests: demo.load.requests,
    width: process.stdout.columns || 100,
    colour: process.env.NO_COLOR === undefined,
  });
  if (!screen) {
    const timer = setInterval(() => {
      const { energy, elapsedSeconds, requests, failed } = state();
      const ready = Object.values(demo.view.fleet.servers).filter(
        ({ lifecycle }) => lifecycle === 'ready',
      ).length;
      const saved = energy.alwaysOnWh > 0 ? (1 - energy.fleetWh / energy.alwaysOnWh) * 100 : 0;
      say(
        `${elapsedSeconds.toFixed(0)} of ${seconds} s: ${ready} servers ready, ${requests} requests, ` +
          `${failed} failed, ${saved.toFixed(1)} % saved`,
      );
    }, progressMs);
    return () => clearInterval(timer);
  }
  process.stdout.write(hideCursor + clearAll);
  const draw = () => {
    const lines = screenLines(state());
    process.stdout.write(home + lines.map((line) => `${line}${clearLine}\n`).join('') + clearBelow);
  };
  draw();
  const timer = setInterval(draw, frameMs);
  return () => {
    clearInterval(timer);
    draw();
    process.stdout.write(`${showCursor}\n`);
  };
}

async function run(wanted: DemoOptions): Promise<void> {
  let demo: Demo | undefined;
  let interrupted = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted += 1;
      if (interrupted > 1 || !demo) process.exit(130);
      demo.end();
    });
  }
  // This file is dist/lab/demo/main.js: three folders down from the package.
  demo = await startDemo(wanted, resolve(import.meta.dirname, '../..'), say);
  say(`one day in ${wanted.seconds} s; try it: curl -i ${demo.address}   Ctrl-C ends it with the report`);
  const stopShowing = show(demo, wanted);
  try {
    const report = await demo.finished;
    stopShowing();
    say('stopping');
    await demo.close();
    process.stdout.write(wanted.json ? `${JSON.stringify(report)}\n` : `${reportText(report)}\n`);
  } catch (error) {
    stopShowing();
    await demo.close();
    throw error;
  }
}

const wanted = readOptions(parseDemoOptions, demoHelp);
if (wanted) {
  try {
    await run(wanted);
  } catch (error) {
    say(messageOf(error, 4_000));
    process.exitCode = 1;
  }
}
