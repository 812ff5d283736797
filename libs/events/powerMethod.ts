import type { PowerMethod } from './fleetConfig.ts';

export type Capability = 'wake' | 'sleep' | 'readPower' | 'meter';

/** What a configured method can do. Its driver does these and no others. */
export function capabilitiesOf(method: PowerMethod): ReadonlySet<Capability> {
  switch (method.driver) {
    case 'redfish':
      return new Set(['wake', 'sleep', 'readPower', 'meter']);
  }
}
