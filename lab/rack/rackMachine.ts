import { randomUUID } from 'node:crypto';
import type { FaultTable } from './faults.ts';
import {
  evolve,
  type MachineEffect,
  type MachineInput,
  type MachineState,
  machineWatts,
  nextDueMs,
  type ResetType,
} from './machine.ts';
import type { ServerSpec } from './options.ts';
import { type OriginListener, type OriginProcess, startOrigin } from './originProcess.ts';
import type { LoadReport } from './workload.ts';

/** One running machine: the pure state machine, its timer and its origin process. */
export interface RackMachine {
  readonly spec: ServerSpec;
  state(): MachineState;
  load(): LoadReport;
  powerWatts(): number;
  originPid(): number | undefined;
  reset(resetType: ResetType): void;
  cutPower(): void;
  /** Kills the origin process only: the machine stays on. */
  crashOrigin(): void;
  /** Starts without a set-up; for machines that are on from the beginning. */
  startAtOnce(): void;
  /** Ends everything; resolves when no process is left. */
  stop(): Promise<void>;
}

export interface MachineContext {
  readonly clock: () => number;
  readonly faults: FaultTable;
  readonly originScript: string;
  readonly startAhead: boolean;
  readonly host: string;
  readonly port: number;
  /** Called just before and just after each change of state. */
  readonly beforeChange: () => void;
  readonly afterChange: () => void;
  /** The operating system was told to stop, with so many requests that are not answered. */
  readonly onStopping: (inFlight: number) => void;
}

const idle: LoadReport = { utilization: 0, busySlots: 0, queued: 0, completed: 0 };
const longestTimerMs = 2 ** 31 - 1;

export function createRackMachine(spec: ServerSpec, context: MachineContext): RackMachine {
  let state: MachineState = { kind: 'off', sinceMs: context.clock() };
  let load = idle;
  let timer: NodeJS.Timeout | undefined;
  let origin: OriginProcess | undefined;
  /** The process of the next life. */
  let ahead: OriginProcess | undefined;
  let isStopped = false;
  const living = new Set<OriginProcess>();

  const prepare = (): OriginProcess => {
    const listener: OriginListener = {
      onListening: () => own === origin && apply({ kind: 'originListening' }),
      onLoad(report) {
        if (own === origin) load = report;
      },
      onStopping(inFlight) {
        if (own === origin) context.onStopping(inFlight);
      },
      onExit() {
        living.delete(own);
        if (own === ahead) ahead = undefined;
        if (own !== origin) return;
        origin = undefined;
        load = idle;
        apply({ kind: 'originExited' });
      },
    };
    const { host, port } = context;
    const { name, seed, workers, serviceTimeMs, maxQueue } = spec;
    const settings = { name, seed, workers, serviceTimeMs, maxQueue, host, port, bootId: randomUUID() };
    const own = startOrigin(context.originScript, settings, listener);
    living.add(own);
    return own;
  };
  const start = () => {
    load = idle;
    origin = ahead ?? prepare();
    ahead = undefined;
  };
  const effects: Readonly<Record<MachineEffect, () => void>> = {
    startOrigin: start,
    openOrigin: () => origin?.listen(),
    terminateOrigin: () => origin?.terminate(),
    killOrigin() {
      origin?.kill();
      origin = undefined;
      load = idle;
    },
  };

  const timings = () => {
    const factor = context.faults.take(['slowBoot'], 'reset')?.factor ?? 1;
    return { ...spec.timings, setupTimeMs: spec.timings.setupTimeMs * factor };
  };
  const move = (next: MachineState, todo: readonly MachineEffect[]) => {
    if (next === state && todo.length === 0) return;
    context.beforeChange();
    state = next;
    for (const effect of todo) effects[effect]();
    if (state.kind === 'off' && context.startAhead && !isStopped) ahead ??= prepare();
    schedule();
    context.afterChange();
  };
  const apply = (input: MachineInput) => {
    if (isStopped) return;
    const nowMs = context.clock();
    const step = evolve(state, input, nowMs, spec.timings);
    // Only a step that begins a set-up may use a slowBoot fault up.
    const isSetup = step.effects.includes('startOrigin');
    const taken = isSetup ? evolve(state, input, nowMs, timings()) : step;
    move(taken.state, taken.effects);
  };
  const schedule = () => {
    clearTimeout(timer);
    const dueMs = nextDueMs(state);
    if (dueMs === undefined || dueMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.min(longestTimerMs, Math.max(0, dueMs - context.clock()));
    timer = setTimeout(() => {
      apply({ kind: 'timePassed' });
      // A timer may fire a little early; then nothing changed and it is set again.
      schedule();
    }, waitMs);
  };

  return {
    spec,
    state: () => state,
    load: () => load,
    powerWatts: () => machineWatts(spec.machineModel, state, load.utilization),
    originPid: () => origin?.pid,
    reset: (resetType) => apply({ kind: 'reset', resetType }),
    cutPower: () => apply({ kind: 'cutPower' }),
    crashOrigin: () => origin?.kill(),
    startAtOnce() {
      const nowMs = context.clock();
      move({ kind: 'booting', sinceMs: nowMs, serveAtMs: nowMs, opened: false }, ['startOrigin']);
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      for (const process of living) process.kill();
      await Promise.all([...living].map((process) => process.exited));
    },
  };
}
