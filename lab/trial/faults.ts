import type { Stack } from '../../libs/runtime/stack.ts';
import type { Rack } from '../rack/rack.ts';
import { seededRandom } from '../rack/random.ts';
import type { FaultRecord } from './chapter.ts';
import { type PlannedFault, planFaults, wakeFailureShare } from './faultPlan.ts';
import type { TrialOptions } from './options.ts';
import type { Recorder } from './recorder.ts';
import { isProvided, isSettled } from './settled.ts';

export interface Faults {
  /** Requests that failed or were late since the last call. */
  progress(failed: number, late: number): void;
  /** The accidents that are over since the last call; `all`: also those still under way. */
  take(all: boolean): FaultRecord[];
  stop(): void;
}

export interface FaultsOptions {
  readonly rack: Rack;
  readonly stack: Stack;
  readonly recorder: Recorder;
  readonly options: TrialOptions;
  readonly seconds: number;
  readonly fromSecond: number;
  readonly secondNow: () => number;
}

/** So long after an accident failed and late requests are put down to it, and its recovery is waited for. */
const pool = 'web';
const watchedMs = 10_000;
const recoveryTimeoutMs = 60_000;
const pollMs = 20;

type Open = { -readonly [K in keyof FaultRecord]: FaultRecord[K] } & { startedMs: number; isOver: boolean };

/** Lets accidents happen as planned, and writes down what became of each. */
export function startFaults(context: FaultsOptions): Faults {
  const { rack, stack, recorder, options, seconds, secondNow } = context;
  const { view } = recorder;
  const records: Open[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const abort = new AbortController();
  const random = seededRandom(options.seed * 31 + 7);

  const begin = (kind: string, target: string, what: string): Open => {
    const record: Open = {
      second: Math.round(secondNow()),
      kind,
      target,
      what,
      recoveredMs: null,
      failed: 0,
      late: 0,
      startedMs: performance.now(),
      isOver: false,
    };
    records.push(record);
    return record;
  };
  /** Waits until it was unwell once, or was not so for a moment, and then until it is well. */
  const watch = async (record: Open, isWell: () => boolean, unwellWithinMs: number) => {
    const elapsed = () => performance.now() - record.startedMs;
    const pause = () => new Promise((done) => setTimeout(done, pollMs));
    while (!abort.signal.aborted && isWell() && elapsed() < unwellWithinMs) await pause();
    while (!abort.signal.aborted && !isWell() && elapsed() < recoveryTimeoutMs) await pause();
    if (isWell()) record.recoveredMs = Math.round(elapsed());
    while (!abort.signal.aborted && elapsed() < watchedMs) await pause();
    record.isOver = true;
  };
  const happen = (fault: PlannedFault) => {
    if (fault.kind === 'bus') {
      const record = begin('bus', 'nats-server', 'SIGKILL; its supervisor starts it again');
      const before = stack.nats?.pid;
      void stack.nats?.kill('SIGKILL');
      const isBack = () =>
        stack.nats?.pid !== undefined && stack.nats.pid !== before && stack.bus.lostSinceMs === undefined;
      return void watch(record, isBack, 0);
    }
    if (fault.kind === 'service') {
      const { service } = fault;
      const isProxy = service === 'proxy';
      const record = begin(
        'service',
        service,
        isProxy ? 'SIGHUP: every worker is replaced' : 'SIGKILL; its supervisor starts it again',
      );
      const process = stack.services[service];
      const { restarts } = process;
      process.kill(isProxy ? 'SIGHUP' : 'SIGKILL');
      const isBack = () => isProxy || (process.restarts > restarts && process.started !== undefined);
      return void watch(record, isBack, 0);
    }
    const serving = rack.servers.filter(({ name }) => rack.status(name).state === 'serving');
    const victim = serving[Math.floor(fault.draw * serving.length)];
    if (!victim) return;
    if (fault.kind === 'crash') {
      const record = begin('crash', victim.name, 'its web server is killed; the machine stays on');
      rack.crashOrigin(victim.name);
      return void watch(record, () => isSettled(view.fleet, victim.name), watchedMs);
    }
    const record = begin('powerCut', victim.name, 'its power fails for a moment');
    rack.cutPower(victim.name);
    return void watch(record, () => isSettled(view.fleet, victim.name), watchedMs);
  };

  const plan = planFaults(seconds, options.speed, seededRandom(options.seed + 5));
  for (const fault of plan.filter(({ second }) => second >= context.fromSecond)) {
    const inMs = ((fault.second - context.fromSecond) / options.speed) * 1_000;
    const timer = setTimeout(() => {
      timers.delete(timer);
      happen(fault);
    }, inMs);
    timers.add(timer);
  }
  const bad = followWakes(context, random, (server, what) => {
    void watch(begin('wake', server, what), () => isProvided(view.fleet, pool), 0);
  });

  return {
    progress(failed, late) {
      const nowMs = performance.now();
      for (const record of records) {
        if (nowMs - record.startedMs > watchedMs) continue;
        record.failed += failed;
        record.late += late;
      }
    },
    take(all) {
      const over = records.filter(({ isOver }) => all || isOver);
      for (const record of over) records.splice(records.indexOf(record), 1);
      return over.map(({ startedMs: _started, isOver: _over, ...record }) => record);
    },
    stop() {
      abort.abort();
      bad();
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/** Draws for each server's next wake whether it fails, and how. @returns the way to stop. */
function followWakes(
  { rack, recorder }: FaultsOptions,
  random: () => number,
  onFailing: (server: string, what: string) => void,
): () => void {
  const failing = new Map<string, string>();
  const draw = (server: string) => {
    failing.delete(server);
    rack.setFaults(server, []);
    if (random() >= wakeFailureShare) return;
    const ignored = random() < 0.5;
    rack.setFaults(server, [
      ignored
        ? { kind: 'ignoredReset', resetTypes: ['On'] }
        : { kind: 'slowBoot', factor: Number.POSITIVE_INFINITY, times: 1 },
    ]);
    failing.set(
      server,
      ignored ? 'the BMC says yes and does nothing' : 'the machine comes on and never serves',
    );
  };
  for (const { name } of rack.servers) draw(name);
  return recorder.view.onChange((event) => {
    if (!('server' in event.data)) return;
    const { server } = event.data;
    const what = failing.get(server);
    if (event.type === 'WakeRequested' && what !== undefined) onFailing(server, what);
    // A wake is over: by the next one the BMC may have healed, or not.
    const ended = event.type === 'WakeTimedOut' || event.type === 'SleepVerified';
    if (ended) draw(server);
  });
}
