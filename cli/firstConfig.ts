import type { BmcSystem } from '../libs/runtime/bmcLook.ts';

/** One server as `nemuri init` knows it; what is not known is left to a comment. */
export interface FirstServer {
  readonly name: string;
  readonly url: string;
  readonly capacityRps: number;
  readonly bmc?: FirstBmc;
}

export interface FirstBmc {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly fingerprint256?: string;
  /** What Redfish says; left out: nobody asked. */
  readonly system?: BmcSystem;
  /** The BMC has more than one system: it must be told which. */
  readonly several?: boolean;
}

export interface FirstConfig {
  readonly pool: string;
  readonly healthPath: string;
  readonly pricePerKwh?: number;
  readonly servers: readonly FirstServer[];
}

/** Any text is a valid YAML scalar when written as a JSON string. */
const quoted = (text: string) => JSON.stringify(text);

/** A commented configuration that `nemuri validate` accepts. Pure. */
export function firstConfigYaml({ pool, healthPath, pricePerKwh, servers }: FirstConfig): string {
  const price =
    pricePerKwh === undefined
      ? `# costs: { currency: EUR, pricePerKwh: 0.30, co2GramsPerKwh: 380 }   # for nemuri report`
      : `costs: { currency: EUR, pricePerKwh: ${pricePerKwh} }   # for nemuri report; also co2GramsPerKwh`;
  return `# Written by nemuri init. Every key: docs/reference/config.md; ways to switch machines: docs/power.md.
#   nemuri validate -c FILE                        lists what is wrong, with its line
#   nemuri power test -c FILE --server NAME        reads one machine by each of its methods
version: 1

pools:
  ${pool}:
    routes:
      - pathPrefix: / # every host, every path
    minServers: 1 # never fewer awake
    spareServers: 0 # kept awake for a failure; with two servers or more, 1 is careful
    latencyObjectiveMs: 500 # what a request may take; capacityRps is what a server sustains within it
    healthCheck:
      probe: { kind: http, path: ${quoted(healthPath)} } # answers 2xx or 3xx when it may get requests

servers:
${servers.map((server) => serverYaml(server, pool)).join('\n')}
${price}
`;
}

function serverYaml({ name, url, capacityRps, bmc }: FirstServer, pool: string): string {
  return `  ${name}:${commentOf(bmc?.system)}
    pool: ${pool}
    url: ${quoted(url)} # where it serves
    capacityRps: ${capacityRps} # measure it: requests/s that it sustains within latencyObjectiveMs
    energy: { offWatts: 8, idleWatts: 100, busyWatts: 200, setupWatts: 160, setupTimeMs: 180000 } # until it is learned
${bmc ? bmcYaml(bmc) : noPowerYaml}`;
}

const noPowerYaml = `    # No way to switch it yet: it stays awake. docs/power.md has one for every kind of machine, such as
    # power:
    #   - { driver: wol, macs: ["52:54:00:12:34:56"] }
    #   - { driver: ssh, host: 10.0.0.11, username: nemuri, keyFile: /etc/nemuri/id_ed25519, hostKey: "ssh-ed25519 AAAA…", sleepCommand: "sudo poweroff" }
`;

function commentOf(system: BmcSystem | undefined): string {
  if (!system) return '';
  const watts = system.powerWatts === undefined ? 'no meter' : `${Math.round(system.powerWatts)} W`;
  const words = [system.model ?? 'a machine', system.powerState, watts].join(', ');
  return ` # ${words.replace(/[\p{Cc}#]+/gu, ' ')}`;
}

function bmcYaml({ url, username, password, fingerprint256, system, several }: FirstBmc): string {
  const lines = [
    '    power: # the wake ladder: methods in the order they are tried',
    '      - driver: redfish',
    `        url: ${quoted(url)}`,
    `        username: ${quoted(username)}`,
    `        password: ${quoted(password)} # where the password is, never the password`,
    ...(several && system ? [`        systemId: ${quoted(system.id)}`] : []),
    ...(fingerprint256 === undefined
      ? []
      : [`        tls: { fingerprint256: ${quoted(fingerprint256)} } # as first seen: compare it`]),
  ];
  const { resetTypes = [], macs = [] } = system ?? {};
  if (resetTypes.length > 0) {
    lines.push(`        # It allows: ${resetTypes.join(', ').replace(/[\p{Cc}]+/gu, ' ')}`);
    if (resetTypes.includes('ForceOff'))
      lines.push('        # allowForceOff: true   # may cut the power when the graceful way timed out');
  }
  if (macs.length > 0) {
    lines.push('      # A second rung, for the day its BMC hangs (needs Wake-on-LAN in its firmware):');
    lines.push(`      # - { driver: wol, macs: [${macs.map(quoted).join(', ')}] }`);
  }
  return `${lines.join('\n')}\n`;
}

/** A server's name from a host name: one DNS label that nobody has yet. */
export function nameFrom(hostName: string | undefined, taken: ReadonlySet<string>): string {
  const label = (hostName ?? '').toLowerCase().split('.')[0] ?? '';
  const clean = label.replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '');
  const base = clean.slice(0, 50).replace(/-+$/, '') || 'server-1';
  let name = base;
  for (let count = 2; taken.has(name); count += 1) name = `${base.replace(/-\d+$/, '')}-${count}`;
  return name;
}
