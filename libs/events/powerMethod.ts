import type { PowerMethod } from './fleetConfig.ts';

export type Capability = 'wake' | 'sleep' | 'readPower' | 'meter';

/** What a configured method can do. Its driver does these and no others. */
export function capabilitiesOf(method: PowerMethod): ReadonlySet<Capability> {
  switch (method.driver) {
    case 'redfish':
      return new Set(['wake', 'sleep', 'readPower', 'meter']);
    case 'ipmi':
      return new Set(
        method.privilege === 'USER' ? ['readPower', 'meter'] : ['wake', 'sleep', 'readPower', 'meter'],
      );
    case 'wol':
      return new Set(['wake']);
    case 'ssh':
      return those({
        wake: method.wakeCommand,
        sleep: method.sleepCommand,
        readPower: method.readPowerCommand,
        meter: method.meterCommand,
      });
    case 'exec':
    case 'http':
      return those(method);
    case 'pdu':
      return those({
        wake: true,
        sleep: method.allowSleep || undefined,
        readPower: true,
        meter: method.wattsOid,
      });
  }
}

function those(said: { readonly [capability in Capability]?: unknown }): ReadonlySet<Capability> {
  const all: readonly Capability[] = ['wake', 'sleep', 'readPower', 'meter'];
  return new Set(all.filter((capability) => said[capability] !== undefined));
}
