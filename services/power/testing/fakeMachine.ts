import type { MakeDriver } from '../driverSet.ts';
import { type Capability, DriverError, type PowerState } from '../drivers/driver.ts';

/** A machine that does at once what it is told, and remembers it. */
export interface FakeMachine {
  powerState: PowerState;
  powerWatts: number | undefined;
  /** Every call that changes something, oldest first. */
  readonly commands: ('wake' | 'graceful' | 'forced')[];
  /** While set, every call fails with it. */
  failure: DriverError | undefined;
  /** A lying machine takes commands and does nothing. */
  lies: boolean;
  /** Asked at each wake: is it lost on its way, as a magic packet may be? */
  loses: () => boolean;
}

export interface FakeMachines {
  readonly make: MakeDriver;
  machine(server: string): FakeMachine;
}

/** @param capabilities what each driver can do; default: everything. */
export function fakeMachines(
  initial: PowerState,
  capabilities: readonly Capability[] = ['wake', 'sleep', 'forceOff', 'readPower', 'meter'],
): FakeMachines {
  const machines = new Map<string, FakeMachine>();
  const machine = (server: string): FakeMachine => {
    let known = machines.get(server);
    if (!known) {
      known = {
        powerState: initial,
        powerWatts: 150,
        commands: [],
        failure: undefined,
        lies: false,
        loses: () => false,
      };
      machines.set(server, known);
    }
    return known;
  };
  const command = (own: FakeMachine, name: FakeMachine['commands'][number], powerState: PowerState) => {
    if (own.failure) throw own.failure;
    own.commands.push(name);
    if (!own.lies && !(name === 'wake' && own.loses())) own.powerState = powerState;
  };
  return {
    machine,
    make: (server) => {
      const own = machine(server);
      return {
        name: 'fake',
        capabilities: new Set(capabilities),
        wake: async () => command(own, 'wake', 'on'),
        sleep: async (how) => command(own, how, 'off'),
        readPower: async () => {
          if (own.failure) throw own.failure;
          return own.powerState;
        },
        meter: async () => {
          if (own.failure) throw own.failure;
          return { powerWatts: own.powerWatts, source: 'fake meter' };
        },
        close: async () => {},
      };
    },
  };
}

export const unreachable = () => new DriverError('unreachable', 'the BMC does not answer');
