import type { PowerMethod } from './fleetConfig.ts';

/** `forceOff`: a sleep that cuts the power, when the graceful one did not work. */
export type Capability = 'wake' | 'sleep' | 'forceOff' | 'readPower' | 'meter';

const allCapabilities: readonly Capability[] = ['wake', 'sleep', 'forceOff', 'readPower', 'meter'];

/** What a configured method can do. Its driver does these and no others. */
export function capabilitiesOf(method: PowerMethod): ReadonlySet<Capability> {
  switch (method.driver) {
    case 'redfish':
      return new Set(allCapabilities);
  }
}
