import {
  createPoolDemand,
  decideCapacity,
  type Fleet,
  foldInto,
  initialFleet,
} from '../../libs/domain/mod.ts';
import {
  type EventDraft,
  type FleetConfig,
  type RecordedEvent,
  streamOf,
  subjectOf,
} from '../../libs/events/mod.ts';
import { parseConfig } from '../../libs/runtime/config.ts';
import { spreadFactor } from '../rack/random.ts';
import { failureNoticedSetups, type SimulationOptions, type SimulationResult } from './counting.ts';
import type { FleetFacts } from './policies/policy.ts';
import { createQueue } from './queue.ts';

export interface NemuriOptions extends SimulationOptions {
  /** Accepted share of late requests; default that of the configuration. */
  readonly risk?: number;
  readonly spare?: number;
  /** A fleet of its own: other capacities and watts for each server. The first pool counts. */
  readonly config?: FleetConfig;
  /** Epoch ms at which the load begins, for what goes by the clock; default: some midnight (UTC). */
  readonly startMs?: number;
}

export interface NemuriResult extends SimulationResult {
  /** Wall time of one decision, in microseconds. */
  readonly decideMicros: { readonly p50: number; readonly p99: number };
}

const someMidnightMs = 1_767_225_600_000;
const secondsPerHour = 3_600;
const decideEverySeconds = 2;

/** A fleet of equal servers as a configuration, with the production defaults. */
export function configOf(facts: FleetFacts, risk?: number, spare = 0): FleetConfig {
  const server = {
    pool: 'web',
    capacityRps: facts.capacityRps,
    energy: {
      offWatts: facts.offWatts,
      idleWatts: facts.idleWatts,
      busyWatts: facts.busyWatts,
      setupWatts: facts.setupWatts,
      setupTimeMs: Math.round(facts.setupSeconds * 1_000),
    },
    wakeTimeoutMs: Math.round(facts.setupSeconds * 1_000 * failureNoticedSetups) + 60_000,
  };
  const names = Array.from({ length: facts.servers }, (_, index) => `s${index + 1}`);
  const document = {
    version: 1,
    pools: {
      web: {
        spareServers: spare,
        latencyObjectiveMs: Math.round(facts.latencyObjectiveSeconds * 1_000),
        planner: risk === undefined ? {} : { risk },
      },
    },
    servers: Object.fromEntries(
      names.map((name, index) => [name, { ...server, url: `http://10.0.0.1:${index + 1}` }]),
    ),
  };
  const parsed = parseConfig(JSON.stringify(document), { file: 'simulation' });
  if (!parsed.ok) throw new Error(parsed.problems.map(({ key, rule }) => `${key}: ${rule}`).join('\n'));
  return parsed.config;
}

interface Machine {
  readonly name: string;
  readonly capacityRps: number;
  readonly energy: FleetConfig['servers'][string]['energy'];
  state: 'on' | 'off' | 'waking';
  /** Second in which the wake ends. */
  endsAt: number;
  fails: boolean;
  wakeId: string;
}

/**
 * The production planner in the simulated world: the same `decideCapacity` on the same fold of the same events, with
 * time and randomness from here. Machines do as told at once, as for the rivals; a wake that has begun is never called
 * off, as in production.
 */
export function simulateNemuri(options: NemuriOptions): NemuriResult {
  const { load, facts } = options;
  const config = options.config ?? configOf(facts, options.risk, options.spare);
  const [pool = 'web'] = Object.keys(config.pools);
  const { startMs: epochMs = someMidnightMs } = options;
  const world = createWorld(config, pool, epochMs);
  const queue = createQueue({ ...options, latencyObjectiveSeconds: facts.latencyObjectiveSeconds });
  const demand = createPoolDemand();
  const micros: number[] = [];
  const totals = { requests: 0, late: 0, refused: 0, joules: 0, wakes: 0 };
  let arrivals = 0;

  for (let second = 0; second < load.seconds; second += 1) {
    world.advance(second);
    const nowMs = epochMs + second * 1_000;
    if (second > 0) {
      const counts = { arrivals, parked: Math.floor(queue.waiting), inFlight: 0, stopping: false };
      demand.observe({ proxy: 'p1', timeMs: nowMs, intervalMs: 1_000, ...counts });
    }
    if (second % decideEverySeconds === 0) {
      const startedMs = performance.now();
      const decision = decideCapacity(world.fleet, pool, demand, nowMs);
      micros.push((performance.now() - startedMs) * 1_000);
      if (decision) totals.wakes += world.follow(new Set(decision.target), second, options);
    }
    arrivals = options.arrivals[second] ?? 0;
    const step = queue.step(arrivals, world.readyRps());
    totals.requests += arrivals;
    totals.late += step.late;
    totals.refused += step.refused;
    totals.joules += world.watts(step.served);
  }
  micros.sort((a, b) => a - b);
  const quantile = (share: number) =>
    micros[Math.min(micros.length - 1, Math.floor(share * micros.length))] ?? 0;
  const { joules, ...counts } = totals;
  return {
    ...counts,
    energyWh: joules / secondsPerHour,
    seconds: load.seconds,
    decideMicros: { p50: quantile(0.5), p99: quantile(0.99) },
  };
}

/** The machines and, folded from the events they cause, the fleet as the services would know it. */
function createWorld(config: FleetConfig, pool: string, epochMs: number) {
  const fleet: Fleet = initialFleet();
  const machines = Object.entries(config.servers)
    .filter(([, server]) => server.pool === pool)
    .map(
      ([name, { capacityRps, energy }]): Machine => ({
        name,
        capacityRps,
        energy,
        state: 'on',
        endsAt: 0,
        fails: false,
        wakeId: '',
      }),
    );
  let sequence = 0;
  let wakeNumber = 0;
  const publish = (draft: EventDraft, second: number) => {
    sequence += 1;
    const envelope = {
      id: `e${sequence}`,
      source: '/simulation',
      version: 1,
      timeMs: epochMs + second * 1_000,
    };
    const storedMs = envelope.timeMs;
    const place = { stream: streamOf(draft.type), subject: subjectOf(draft), sequence, storedMs };
    foldInto(fleet, { ...draft, ...envelope, ...place } as RecordedEvent);
  };
  const about = (machine: Machine) => ({ server: machine.name, pool });
  const becomeReady = (machine: Machine, second: number) => {
    machine.state = 'on';
    publish(
      { type: 'ServerBecameHealthy', data: { ...about(machine), latencyMs: 1, consecutive: 2 } },
      second,
    );
  };
  const fail = (machine: Machine, second: number) => {
    machine.state = 'off';
    const data = { ...about(machine), wakeId: machine.wakeId, elapsedMs: 0, reason: 'simulated' };
    publish({ type: 'WakeTimedOut', data }, second);
    publish({ type: 'ServerPoweredOff', data: about(machine) }, second);
    const untilMs = epochMs + second * 1_000 + config.bounds.quarantineMs;
    publish({ type: 'ServerQuarantined', data: { ...about(machine), untilMs, reason: 'simulated' } }, second);
  };
  const wake = (
    machine: Machine,
    second: number,
    { wakeFailure, setupSpread, random }: SimulationOptions,
  ) => {
    const fails = wakeFailure > 0 && random() < wakeFailure;
    const spread = setupSpread > 0 ? spreadFactor(random, setupSpread) : 1;
    wakeNumber += 1;
    machine.state = 'waking';
    machine.fails = fails;
    machine.wakeId = `w${wakeNumber}`;
    machine.endsAt = second + (machine.energy.setupTimeMs / 1_000) * (fails ? failureNoticedSetups : spread);
    publish(
      { type: 'WakeRequested', data: { ...about(machine), wakeId: machine.wakeId, reason: 'simulated' } },
      second,
    );
    publish({ type: 'ServerPoweredOn', data: { ...about(machine), wakeId: machine.wakeId } }, second);
  };
  const sleep = (machine: Machine, second: number) => {
    machine.state = 'off';
    const sleepId = `z${sequence}`;
    const data = { ...about(machine), sleepId, drainTimeoutMs: 1, reason: 'simulated' };
    publish({ type: 'SleepRequested', data }, second);
    const attempt = { ...about(machine), sleepId, attempt: 1, driver: 'simulated', forced: false };
    publish({ type: 'SleepAttempted', data: attempt }, second);
    publish({ type: 'ServerPoweredOff', data: { ...about(machine), sleepId } }, second);
    publish({ type: 'SleepVerified', data: { ...about(machine), evidence: 'simulated' } }, second);
  };
  publish({ type: 'FleetConfigured', data: { config, origin: 'simulation' } }, 0);
  for (const machine of machines) {
    publish({ type: 'ServerPoweredOn', data: about(machine) }, 0);
    becomeReady(machine, 0);
  }
  return {
    fleet,
    advance(second: number) {
      for (const machine of machines) {
        if (machine.state !== 'waking' || machine.endsAt > second) continue;
        if (machine.fails) fail(machine, second);
        else becomeReady(machine, second);
      }
    },
    /** Wakes what is wanted and puts to sleep what is not. @returns the number of wakes. */
    follow(target: ReadonlySet<string>, second: number, options: SimulationOptions): number {
      let wakes = 0;
      for (const machine of machines) {
        const isWanted = target.has(machine.name);
        if (isWanted && machine.state === 'off') {
          wakes += 1;
          wake(machine, second, options);
        } else if (!isWanted && machine.state === 'on') sleep(machine, second);
      }
      return wakes;
    },
    readyRps: () =>
      machines.reduce((sum, { state, capacityRps }) => sum + (state === 'on' ? capacityRps : 0), 0),
    /** Watts of all machines while `servedRps` is shared out by capacity. */
    watts(servedRps: number): number {
      const readyRps = this.readyRps();
      const utilization = readyRps > 0 ? Math.min(1, servedRps / readyRps) : 0;
      return machines.reduce((sum, { state, energy }) => {
        if (state === 'off') return sum + energy.offWatts;
        if (state === 'waking') return sum + energy.setupWatts;
        return sum + energy.idleWatts + (energy.busyWatts - energy.idleWatts) * utilization;
      }, 0);
    },
  };
}
