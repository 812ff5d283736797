import type { PowerMethod } from './fleetConfig.ts';

/** `forceOff`: a sleep that cuts the power, when the graceful one did not work. */
export type Capability = 'wake' | 'sleep' | 'forceOff' | 'readPower' | 'meter';

const allCapabilities: readonly Capability[] = ['wake', 'sleep', 'forceOff', 'readPower', 'meter'];

/** What a configured method can do. Its driver does these and no others. */
export function capabilitiesOf(method: PowerMethod): ReadonlySet<Capability> {
  switch (method.driver) {
    case 'redfish':
      return new Set(allCapabilities);
    case 'ipmi':
      return new Set(method.privilege === 'USER' ? ['readPower', 'meter'] : allCapabilities);
    case 'wol':
      return new Set(['wake']);
    case 'ssh':
      return those({
        wake: method.wakeCommand,
        sleep: method.sleepCommand,
        forceOff: method.forcedSleepCommand,
        readPower: method.readPowerCommand,
        meter: method.meterCommand,
      });
    case 'agent':
      return new Set(['sleep']);
    case 'exec':
      return those({ ...method, forceOff: method.forcedSleep });
    case 'http':
      // A plug knows no other way.
      return those({ ...method, forceOff: method.sleep });
    case 'pdu':
      return those({
        wake: true,
        sleep: method.allowSleep || undefined,
        forceOff: method.allowSleep || undefined,
        readPower: true,
        meter: method.wattsOid,
      });
  }
}

function those(said: { readonly [capability in Capability]?: unknown }): ReadonlySet<Capability> {
  return new Set(allCapabilities.filter((capability) => said[capability] !== undefined));
}

/** Does a sleep by this method cut the power, since it knows no other way? */
export function onlyCuts({ driver }: PowerMethod): boolean {
  return driver === 'http' || driver === 'pdu';
}
