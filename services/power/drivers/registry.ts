import type { PowerMethod } from '../../../libs/events/mod.ts';
import { type AgentDependencies, createAgentDriver } from './agent.ts';
import type { PowerDriver } from './driver.ts';
import { createExecDriver } from './exec.ts';
import { createHttpDriver } from './http.ts';
import { createIpmiDriver } from './ipmi.ts';
import { createPduDriver } from './pdu.ts';
import { createRedfishDriver, type RedfishDependencies } from './redfish.ts';
import { createSshDriver } from './ssh.ts';
import { createWolDriver } from './wol.ts';

/** The driver for one rung of a server's wake ladder. Opens nothing, reads no secret, before its first call. */
export function createDriver(
  serverName: string,
  method: PowerMethod,
  deps: RedfishDependencies & AgentDependencies,
): PowerDriver {
  switch (method.driver) {
    case 'redfish':
      return createRedfishDriver(serverName, method, deps);
    case 'ipmi':
      return createIpmiDriver(serverName, method, deps);
    case 'wol':
      return createWolDriver(serverName, method, deps);
    case 'ssh':
      return createSshDriver(serverName, method, deps);
    case 'exec':
      return createExecDriver(serverName, method, deps);
    case 'http':
      return createHttpDriver(serverName, method, deps);
    case 'pdu':
      return createPduDriver(serverName, method, deps);
    case 'agent':
      return createAgentDriver(serverName, method, deps);
  }
}
