import type { PowerMethod } from '../../../libs/events/mod.ts';
import { type AgentDependencies, createAgentDriver } from './agent.ts';
import type { PowerDriver } from './driver.ts';
import { createRedfishDriver, type RedfishDependencies } from './redfish.ts';

export type DriverDependencies = RedfishDependencies & AgentDependencies;

/** The driver for one rung of a server's wake ladder. Opens nothing, reads no secret, before its first call. */
export function createDriver(serverName: string, method: PowerMethod, deps: DriverDependencies): PowerDriver {
  switch (method.driver) {
    case 'redfish':
      return createRedfishDriver(serverName, method, deps);
    case 'agent':
      return createAgentDriver(serverName, method, deps);
  }
}
