import { stringify } from 'yaml';
import type { Bounds, Costs, PoolConfig, RedfishMethod } from '../../libs/events/mod.ts';
import type { RackServer } from './rack.ts';

/** What of a rack a config is made from. */
export interface RackFacts {
  readonly servers: readonly RackServer[];
  readonly username: string;
  readonly caFile: string;
  readonly fingerprint256: string;
}

/** What the caller decides; all but the secret's place may be left out. Times are those of the rack's clock. */
export interface RackConfigSettings {
  /** Name of the one pool. Default `web`. */
  readonly pool?: string;
  /** Where the password is: `env:NAME` or `file:/path`. */
  readonly password: string;
  readonly poolSettings?: DeepPartial<PoolConfig>;
  readonly bounds?: Partial<Bounds>;
  readonly costs?: Partial<Costs>;
  /** More for each server's Redfish method, e.g. time-outs. */
  readonly redfish?: Partial<Omit<RedfishMethod, 'driver' | 'url' | 'username' | 'password'>>;
  readonly wakeTimeoutMs?: number;
  /** Per request slot of a server, how many requests at once; left out: no limit. */
  readonly inFlightPerWorker?: number;
}

type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: DeepPartial<T[K]> }
    : T;

/** A Nemuri config as a YAML file says it: defaults are left to its reader. */
export interface RackConfig {
  readonly version: 1;
  readonly pools: Readonly<Record<string, object>>;
  readonly servers: Readonly<Record<string, object>>;
  readonly bounds?: object;
  readonly costs?: object;
}

/** The config that lets Nemuri run this rack. Pure. */
export function rackConfig(rack: RackFacts, settings: RackConfigSettings): RackConfig {
  const pool = settings.pool ?? 'web';
  const { inFlightPerWorker, wakeTimeoutMs } = settings;
  const servers = rack.servers.map((server) => [
    server.name,
    {
      pool,
      url: server.originUrl,
      capacityRps: server.capacityRps,
      ...(inFlightPerWorker === undefined
        ? {}
        : { maxInFlight: Math.max(1, Math.round(inFlightPerWorker * server.workers)) }),
      energy: { ...server.energy },
      power: [
        {
          driver: 'redfish',
          url: server.bmcUrl,
          username: rack.username,
          password: settings.password,
          systemId: server.systemId,
          tls: { caFile: rack.caFile, fingerprint256: rack.fingerprint256 },
          ...settings.redfish,
        },
      ],
      ...(wakeTimeoutMs === undefined ? {} : { wakeTimeoutMs }),
    },
  ]);
  return {
    version: 1,
    pools: { [pool]: { ...settings.poolSettings } },
    servers: Object.fromEntries(servers),
    ...(settings.bounds === undefined ? {} : { bounds: settings.bounds }),
    ...(settings.costs === undefined ? {} : { costs: settings.costs }),
  };
}

/** The same as a YAML document. */
export function rackConfigYaml(config: RackConfig): string {
  return `# Made by the virtual rack; describes it as it runs.\n${stringify(config, { aliasDuplicateObjects: false })}`;
}
