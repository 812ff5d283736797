import { createMemoryStore, type MemoryStore, openMemoryBus } from '../../libs/bus/mod.ts';
import type { EventDraft } from '../../libs/events/mod.ts';
import type { RunningService } from '../../libs/runtime/service.ts';
import { type Checker, createChecker } from './checker.ts';
import { createMachine, type Machine } from './machine.ts';
import { type SimProcess, startProcess } from './process.ts';
import type { Scenario } from './scenario.ts';
import { createScheduler, type Scheduler } from './scheduler.ts';
import { type Controllers, startService } from './services.ts';
import { goodLink, type Link, openSimBus } from './simBus.ts';
import type { Ending, RunningProxy } from './simProxy.ts';

export type Kind = 'planner' | 'power' | 'health' | 'proxy' | 'agent';

/** One service of the control plane, which may be down, or an agent, which lives while its machine is up. */
export interface Unit {
  readonly name: string;
  readonly kind: Kind;
  readonly link: Link;
  process: SimProcess | undefined;
  running: RunningService | undefined;
  /** What else ends with its process. */
  kill: (() => void) | undefined;
  skewMs: number;
  /** Epoch ms of its last start, crash, stop or change of its network. */
  disturbedAtMs: number;
  /** Faults that act on it now. */
  faults: number;
  /** It stays down although nobody would start it again: its machine is down, or the scenario has it away. */
  held: boolean;
}

export interface World {
  readonly scenario: Scenario;
  readonly scheduler: Scheduler;
  readonly random: () => number;
  readonly store: MemoryStore;
  readonly machines: ReadonlyMap<string, Machine>;
  readonly units: readonly Unit[];
  readonly checker: Checker;
  readonly endings: Record<Ending, number>;
  /** Servers that the prober can't reach although they serve. */
  readonly cutFromProber: Set<string>;
  start(unit: Unit): void;
  crash(unit: Unit): void;
  /** Ends it as SIGTERM does; resolves when it has ended. */
  stop(unit: Unit): Promise<void>;
  /** What an operator does. */
  publish(draft: EventDraft): void;
  proxies(): RunningProxy[];
}

/** A machine whose agent died is looked after by its init system. */
const restartMs = 1_000;

export function createWorld(scenario: Scenario, random: () => number, controllers: Controllers): World {
  const scheduler = createScheduler(scenario.startMs);
  const clock = {
    now: scheduler.nowMs,
    after: (delayMs: number, callback: () => void) => scheduler.after(delayMs, callback),
  };
  const store = createMemoryStore({ clock });
  const operator = openMemoryBus(store, { source: 'operator', newId: () => `operator-${random()}` });
  const endings = { served: 0, failed: 0, rejected: 0, killed: 0, noProxy: 0 };
  const machines = new Map<string, Machine>();
  const units = unitsOf(scenario);
  const agentOf = (machine: Machine) => units.find(({ name }) => name === machine.name);

  const world: World = {
    scenario,
    scheduler,
    random,
    store,
    machines,
    units,
    endings,
    cutFromProber: new Set(),
    checker: createChecker(() => world),
    start(unit) {
      if (unit.process || unit.held) return;
      unit.disturbedAtMs = scheduler.nowMs();
      const process = startProcess({ name: unit.name, scheduler, random, skewMs: unit.skewMs });
      const onProblem = (problem: Error) => {
        if (problem.message === 'a subscriber threw')
          world.checker.violate(`a subscriber of ${unit.name} threw: ${problem.cause}`);
      };
      const { bus, kill } = openSimBus({
        store,
        scheduler,
        process,
        random,
        link: unit.link,
        onProblem,
      });
      unit.process = process;
      unit.kill = kill;
      startService(world, unit, process, bus, controllers).then(
        (running) => {
          if (!process.alive) return;
          unit.running = running;
          if (unit.kind !== 'proxy') return;
          const proxy = running as RunningProxy;
          unit.kill = () => {
            kill();
            proxy.drop();
          };
        },
        (error) => {
          if (process.alive) world.checker.violate(`${unit.name} did not start: ${error}`);
        },
      );
    },
    crash(unit) {
      if (!unit.process) return;
      unit.disturbedAtMs = scheduler.nowMs();
      unit.process.kill();
      unit.kill?.();
      unit.process = undefined;
      unit.running = undefined;
    },
    async stop(unit) {
      const { running, process } = unit;
      if (!running || !process) return;
      unit.disturbedAtMs = scheduler.nowMs();
      unit.running = undefined;
      await running.stop();
      if (!process.alive) return;
      process.kill();
      unit.kill?.();
      if (unit.process === process) unit.process = undefined;
    },
    publish: (draft) => void operator.publish(draft),
    proxies: () =>
      units.flatMap(({ kind, running }) => (kind === 'proxy' && running ? [running as RunningProxy] : [])),
  };
  const events = {
    onUp(machine: Machine) {
      const agent = agentOf(machine);
      if (!agent) return;
      agent.held = false;
      agent.disturbedAtMs = scheduler.nowMs();
      scheduler.after(restartMs * random(), () => {
        if (machine.life === 'serving') world.start(agent);
      });
    },
    onDown(machine: Machine) {
      const agent = agentOf(machine);
      if (!agent) return;
      agent.held = true;
      world.crash(agent);
    },
    onPowerOff: (machine: Machine, how: 'graceful' | 'forced' | 'agent') =>
      world.checker.onPowerOff(machine, how),
    onPowerOn: () => {},
  };
  for (const name of Object.keys(scenario.config.servers)) {
    const life = random() < 0.6 ? 'serving' : 'off';
    const machine = createMachine(name, scheduler, random, events, life);
    machines.set(name, machine);
    const agent = agentOf(machine);
    if (agent) agent.held = life === 'off';
  }
  return world;
}

function unitsOf(scenario: Scenario): Unit[] {
  const copies = scenario.replicated ? ['', '-2'] : [''];
  const services = (['planner', 'power', 'health'] as const).flatMap((kind) =>
    copies.map((copy) => ({ name: `${kind}${copy}`, kind })),
  );
  const proxies = Array.from({ length: scenario.proxies }, (_, index) => ({
    name: `proxy-${index}`,
    kind: 'proxy' as const,
  }));
  const agents = scenario.agents.map((name) => ({ name, kind: 'agent' as const }));
  return [...services, ...proxies, ...agents].map(({ name, kind }) => ({
    name,
    kind,
    link: goodLink(),
    process: undefined,
    running: undefined,
    kill: undefined,
    skewMs: 0,
    disturbedAtMs: scenario.startMs,
    faults: 0,
    held: false,
  }));
}
