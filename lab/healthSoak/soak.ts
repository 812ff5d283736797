import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { takesRequests } from '../../libs/domain/mod.ts';
import type { EventType, FleetConfig } from '../../libs/events/mod.ts';
import { seededRandom } from '../rack/random.ts';
import { type SoakFault, soakFaults } from './faults.ts';
import type { SoakHost } from './host.ts';
import type { SoakMachine } from './machine.ts';
import { requestTimeoutMs, type SoakSite, startSoakSite } from './site.ts';

export interface SoakOptions {
  readonly machines: number;
  readonly faults: number;
  readonly seed: number;
  /** What a busy computer may add to every stated time. */
  readonly slackMs: number;
  /** From the end of a fault until all must be as it shall be. Default 20 s: a wake may climb its ladder. */
  readonly patienceMs?: number;
  /** Done once all machines are as they shall be, before the first fault. */
  readonly sabotage?: () => Promise<void>;
  readonly onFault?: (line: string) => void;
}

/** The longest times, in ms, and what is stated of each. */
interface Times {
  /** A server that does not serve, still given requests. */
  deadUsedMs: number;
  /** A server that serves and is wanted, given none. */
  goodUnusedMs: number;
  /** From the beginning of a fault to the fact that names it. */
  toldMs: number;
  /** From its end until all is as it shall be. */
  recoveredMs: number;
}

export interface SoakReport {
  readonly faults: number;
  readonly seed: number;
  readonly machines: number;
  readonly stated: Times;
  readonly slackMs: number;
  readonly worst: Times;
  readonly byFault: Readonly<Record<string, number>>;
  /** Where belief and truth did not agree in time; empty: they always did. */
  readonly disagreements: readonly string[];
  readonly loopDelayMaxMs: number;
}

const lookIntervalMs = 50;
const settleTimeoutMs = 120_000;

/** By when the configuration promises to know, in ms. */
export function statedTimes({ pools, bounds }: FleetConfig, patienceMs: number): Times {
  const check = pools.web?.healthCheck;
  if (!check) throw new Error('the soak has a pool web');
  const { intervalMs, fastIntervalMs, timeoutMs, rise, fall, jitter } = check;
  const stretch = 1 + jitter / 2;
  const deadUsedMs = intervalMs * stretch + fall * timeoutMs + (fall - 1) * fastIntervalMs * stretch;
  const returnMs = rise * (fastIntervalMs * stretch + timeoutMs);
  const { reconcileIntervalMs, heartbeatLeaseMs, sleepProofTimeoutMs, contradictionConfirmMs } = bounds;
  const readMs = 3 * (requestTimeoutMs + reconcileIntervalMs);
  return {
    deadUsedMs,
    // One whose hardware was thought off is believed when that says on.
    goodUnusedMs: Math.max(returnMs, readMs),
    toldMs: Math.max(
      heartbeatLeaseMs * 1.25,
      readMs,
      deadUsedMs + contradictionConfirmMs * 2,
      sleepProofTimeoutMs,
    ),
    recoveredMs: patienceMs,
  };
}

/** Lets faults happen, many machines at once, and compares what is believed with what is true all the time. */
export async function runSoak(options: SoakOptions, host: SoakHost): Promise<SoakReport> {
  const site = await startSoakSite(options.machines, options.seed, host);
  const delay = monitorEventLoopDelay({ resolution: 10 });
  try {
    await untilCalm(site);
    await options.sabotage?.();
    delay.enable();
    const stated = statedTimes(site.config, options.patienceMs ?? 20_000);
    const worst: Times = { deadUsedMs: 0, goodUnusedMs: 0, toldMs: 0, recoveredMs: 0 };
    const disagreements: string[] = [];
    const byFault: Record<string, number> = {};
    const note = (what: keyof Times, ms: number, of: string) => {
      worst[what] = Math.max(worst[what], Math.round(ms));
      if (ms > stated[what] + options.slackMs) disagreements.push(`${of}: ${what} ${Math.round(ms)}`);
    };
    const current = new Map<string, string>();
    const looker = watch(site, (what, ms, server) => note(what, ms, `${server}, ${current.get(server)}`));
    let left = options.faults;
    await Promise.all(
      site.machines.map(async (machine, index) => {
        const random = seededRandom(options.seed * 1_000 + index);
        const mine = soakFaults.filter((fault) => (fault.of === 'awake') === site.isWanted(machine.name));
        let last: SoakFault | undefined;
        while (left > 0) {
          left -= 1;
          const others = mine.filter((fault) => fault !== last);
          const fault = others[Math.floor(random() * others.length)];
          if (!fault) return;
          last = fault;
          byFault[fault.name] = (byFault[fault.name] ?? 0) + 1;
          current.set(machine.name, fault.name);
          await pause(random() * 500);
          const { toldMs, recoveredMs } = await suffer(
            site,
            machine,
            fault,
            stated.recoveredMs + options.slackMs,
          );
          const of = `${machine.name}, ${fault.name}`;
          if (toldMs === undefined) disagreements.push(`${of}: never told`);
          else note('toldMs', toldMs, of);
          if (recoveredMs === undefined)
            disagreements.push(`${of}: never recovered: ${beliefOf(site, machine)}`);
          else note('recoveredMs', recoveredMs, of);
          options.onFault?.(`${of}: told ${toldMs} ms, recovered ${recoveredMs} ms`);
          if (recoveredMs === undefined) return;
        }
      }),
    );
    looker.stop();
    const loopDelayMaxMs = Math.round(delay.max / 1e6);
    const { faults, seed, machines, slackMs } = options;
    return {
      faults: faults - left,
      seed,
      machines,
      stated,
      slackMs,
      worst,
      byFault,
      disagreements,
      loopDelayMaxMs,
    };
  } finally {
    delay.disable();
    await site.stop();
  }
}

/** One fault of one machine from its beginning to its recovery; undefined: not in time. */
async function suffer(site: SoakSite, machine: SoakMachine, fault: SoakFault, patienceMs: number) {
  const beganMs = performance.now();
  let toldMs = fault.told.length === 0 ? 0 : undefined;
  const forget = site.view.onChange((event) => {
    const told = (fault.told as readonly EventType[]).includes(event.type);
    if (told && 'server' in event.data && event.data.server === machine.name)
      toldMs ??= Math.round(performance.now() - beganMs);
  });
  if (fault.traffic === 'split') site.split.add(machine.name);
  if (fault.traffic === 'ejected') {
    const data = {
      server: machine.name,
      pool: 'web',
      proxy: 'p1',
      reason: 'soak',
      untilMs: Date.now() + 10_000,
    };
    await site.bus.publish({ type: 'ServerEjected', data });
  }
  fault.begin(machine);
  await pause(fault.holdMs);
  fault.end(machine);
  site.split.delete(machine.name);
  const endedMs = performance.now();
  const elapsedMs = () => performance.now() - endedMs;
  while (!(isAsItShall(site, machine) && toldMs !== undefined) && elapsedMs() < patienceMs)
    await pause(lookIntervalMs);
  const recovered = isAsItShall(site, machine);
  forget();
  return { toldMs, recoveredMs: recovered ? Math.round(elapsedMs()) : undefined };
}

/** Truth and belief are both what they shall be. */
function isAsItShall({ view, isWanted }: SoakSite, machine: SoakMachine): boolean {
  const state = view.fleet.servers[machine.name];
  if (!state) return false;
  if (isWanted(machine.name)) {
    const isSettled = state.powerState === 'on' && !Object.keys(state.contradictions ?? {}).length;
    return machine.serves() && takesRequests(state) && isSettled;
  }
  return machine.state().kind === 'off' && state.lifecycle === 'asleep' && state.powerState === 'off';
}

async function untilCalm(site: SoakSite): Promise<void> {
  const deadlineMs = Date.now() + settleTimeoutMs;
  while (!site.machines.every((machine) => isAsItShall(site, machine))) {
    if (Date.now() > deadlineMs) {
      const seen = site.machines.filter((machine) => !isAsItShall(site, machine));
      throw new Error(`never calm: ${seen.map((machine) => beliefOf(site, machine)).join('; ')}`);
    }
    await pause(lookIntervalMs);
  }
}

function beliefOf({ view }: SoakSite, machine: SoakMachine): string {
  const { lifecycle, powerState, health, heartbeat } = view.fleet.servers[machine.name] ?? {};
  const belief = `${lifecycle}, power ${powerState}, ${health}, wish ${heartbeat?.wish}`;
  return `${machine.name} is ${machine.state().kind}, believed ${belief}`;
}

/** Adds up for how long belief and truth disagree about each machine, without a break. */
function watch(
  site: SoakSite,
  onEnd: (what: 'deadUsedMs' | 'goodUnusedMs', ms: number, server: string) => void,
) {
  const since = new Map<string, { readonly what: 'deadUsedMs' | 'goodUnusedMs'; readonly ms: number }>();
  const look = (isLast: boolean) => {
    const nowMs = performance.now();
    for (const machine of site.machines) {
      const state = site.view.fleet.servers[machine.name];
      if (!state) continue;
      const serves = machine.serves();
      const isUsed = takesRequests(state);
      const isUnused = serves && !isUsed && site.isWanted(machine.name);
      const what = !serves && isUsed ? 'deadUsedMs' : isUnused ? 'goodUnusedMs' : undefined;
      const known = since.get(machine.name);
      if (known && (known.what !== what || isLast)) {
        onEnd(known.what, nowMs - known.ms, machine.name);
        since.delete(machine.name);
      }
      if (what && known?.what !== what) since.set(machine.name, { what, ms: nowMs });
    }
  };
  const timer = setInterval(look, lookIntervalMs, false);
  return {
    stop() {
      clearInterval(timer);
      look(true);
    },
  };
}
