import type { Capability, FleetConfig, PowerMethod } from '../../libs/events/mod.ts';
import type { PowerDriver } from './drivers/driver.ts';

export interface DriverSet {
  /** The driver of one rung of a server's wake ladder. */
  driverOf(server: string, rung: number): PowerDriver | undefined;
  /** All rungs of a server's wake ladder, from its foot. */
  driversOf(server: string): readonly PowerDriver[];
  /** The first of a server's methods that can do this. */
  driverThat(server: string, capability: Capability): PowerDriver | undefined;
  /** Takes a new configuration: drivers whose method did not change keep their session. */
  configure(config: FleetConfig | undefined): void;
  close(): Promise<void>;
}

export type MakeDriver = (server: string, method: PowerMethod) => PowerDriver;

interface Rung {
  readonly key: string;
  readonly driver: PowerDriver;
}

/** All drivers of the fleet, kept in step with the configuration. */
export function createDriverSet(create: MakeDriver): DriverSet {
  let ladders = new Map<string, readonly Rung[]>();
  const driversOf = (server: string) => (ladders.get(server) ?? []).map(({ driver }) => driver);
  return {
    driverOf: (server, rung) => ladders.get(server)?.[rung]?.driver,
    driversOf,
    driverThat: (server, ability) => driversOf(server).find(({ capabilities }) => capabilities.has(ability)),
    configure(config) {
      const next = new Map<string, readonly Rung[]>();
      const kept = new Set<Rung>();
      for (const [server, { power }] of Object.entries(config?.servers ?? {})) {
        const known = ladders.get(server) ?? [];
        const rungs = power.map((method): Rung => {
          const key = JSON.stringify(method);
          const same = known.find((rung) => rung.key === key && !kept.has(rung));
          const rung = same ?? { key, driver: create(server, method) };
          kept.add(rung);
          return rung;
        });
        next.set(server, rungs);
      }
      for (const rung of [...ladders.values()].flat()) if (!kept.has(rung)) void rung.driver.close();
      ladders = next;
    },
    async close() {
      await Promise.allSettled([...ladders.values()].flat().map(({ driver }) => driver.close()));
      ladders = new Map();
    },
  };
}
