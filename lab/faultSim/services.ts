import { startAgent } from '../../agent/agent.ts';
import { agentSettings } from '../../agent/settings.ts';
import type { Bus } from '../../libs/bus/mod.ts';
import { capabilitiesOf } from '../../libs/events/mod.ts';
import type { RunningService, ServiceContext } from '../../libs/runtime/service.ts';
import { startHealth } from '../../services/health/health.ts';
import { startPlanner } from '../../services/planner/planner.ts';
import { createAgentDriver } from '../../services/power/drivers/agent.ts';
import { startPower } from '../../services/power/power.ts';
import type { Machine } from './machine.ts';
import { type SimProcess, silence } from './process.ts';
import { startSimProxy } from './simProxy.ts';
import { simDriver, simProbes, type WireOptions } from './wires.ts';
import type { Unit, World } from './world.ts';

/** The controllers that run: those of production, or one that a test has broken. */
export interface Controllers {
  readonly planner: typeof startPlanner;
  readonly power: typeof startPower;
  readonly health: typeof startHealth;
}

export const production: Controllers = { planner: startPlanner, power: startPower, health: startHealth };

const agentConfig = agentSettings({
  NEMURI_AGENT_LOOK_TIMEOUT_MS: '3000',
  NEMURI_AGENT_SHUTDOWN_WAIT_MS: '2000',
});

/** Starts what a unit is, in its own process, on its own bus. */
export function startService(
  world: World,
  unit: Unit,
  process: SimProcess,
  bus: Bus,
  controllers: Controllers,
): Promise<RunningService> {
  const { scheduler, random } = world;
  const context: ServiceContext = {
    settings: {
      service: unit.kind,
      name: unit.name,
      natsUrls: [],
      adminHost: '127.0.0.1',
      adminPort: 0,
      logLevel: 'silent',
      stopTimeoutMs: 10_000,
    },
    bus,
    log: silence,
    telemetry: { enabled: false, stop: async () => {} },
    nowMs: process.clock.nowMs,
    clock: process.clock,
    chance: process.chance,
  };
  const wires: WireOptions = {
    scheduler,
    process,
    random,
    onCommand: (machine, command) => world.checker.onCommand(unit, bus, machine, command),
  };
  const machineOf = (name: string) => world.machines.get(name);
  switch (unit.kind) {
    case 'planner':
      return controllers.planner(context);
    case 'power':
      return controllers.power(context, (server, method) => {
        if (method.driver === 'agent') return createAgentDriver(server, method, { ask: bus.ask });
        const machine = machineOf(server);
        if (!machine) throw new Error(`no machine ${server}`);
        return simDriver(wires, machine, capabilitiesOf(method));
      });
    case 'health': {
      const isCut = ({ name }: Machine) => world.cutFromProber.has(name);
      return controllers.health(context, { heartbeatListen: undefined }, simProbes(wires, machineOf, isCut));
    }
    case 'proxy':
      return startSimProxy({
        context,
        scheduler,
        random,
        machineOf,
        onSent: (machine) => world.checker.onSent(unit, machine),
        onEnd: (ending) => {
          world.endings[ending] += 1;
          world.checker.onEnd(ending);
        },
      });
    case 'agent':
      return startAgent(context, agentConfig, agentBody(world, unit));
  }
}

/** The machine under an agent. */
function agentBody({ machines, scheduler }: World, { name }: Unit) {
  const machine = machines.get(name);
  if (!machine) throw new Error(`no machine ${name}`);
  const bootId = `${name}-${machine.boots}`;
  return {
    senses: {
      bootId: async () => bootId,
      vitals: async () => ({}),
      wish: async () => ({ wish: 'ready' as const }),
      connectionsOn: async () => machine.inFlight.size,
      usersLoggedIn: async () => 0,
      tryProxy: async () => undefined,
    },
    // The command is taken at once; what it does comes after.
    run: async () => void scheduler.after(200, () => machine.powerOff('agent')),
  };
}
